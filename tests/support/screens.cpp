#include "tests/support/screens.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>

namespace support {
namespace {

std::string unescape(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 == text.size()) {
            out += text[i];
            continue;
        }
        const char c = text[++i];
        if (c == 'x' && i + 2 < text.size()) {
            out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'e' ? '\x1b' : c;
        }
    }
    return out;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

}  // namespace

std::vector<Step> read_script(const std::string& path) {
    std::ifstream stream(path);
    if (!stream) throw std::runtime_error(path + ": cannot be read");
    std::vector<Step> steps;
    int number = 0;
    for (std::string line; std::getline(stream, line);) {
        ++number;
        if (line.empty() || line.front() == '#') continue;
        const size_t space = line.find(' ');
        steps.push_back(
            {.verb = line.substr(0, space),
             .argument = space == std::string::npos ? "" : unescape(line.substr(space + 1)),
             .line = number});
    }
    return steps;
}

std::string bytes_of_key(std::string_view name) {
    static const std::map<std::string_view, std::string_view> kNamed = {
        {"Enter", "\r"},
        {"Tab", "\t"},
        {"Space", " "},
        {"BS", "\x7f"},
        {"Esc", "\x1b"},
        {"Up", "\x1b[A"},
        {"Down", "\x1b[B"},
        {"Right", "\x1b[C"},
        {"Left", "\x1b[D"},
        {"Home", "\x1b[H"},
        {"End", "\x1b[F"},
        {"PgUp", "\x1b[5~"},
        {"PgDn", "\x1b[6~"},
        {"Del", "\x1b[3~"},
        {"C-Home", "\x1b[1;5H"},
        {"C-End", "\x1b[1;5F"},
        {"F1", "\x1bOP"},
        {"F5", "\x1b[15~"},
        {"S-Enter", "\x1b[13;2u"},
    };
    if (const auto found = kNamed.find(name); found != kNamed.end())
        return std::string(found->second);
    if (name.starts_with("M-")) return "\x1b" + bytes_of_key(name.substr(2));
    if (name.size() == 3 && name.starts_with("C-")) return {static_cast<char>(name[2] & 0x1f)};
    if (name.size() == 1) return std::string(name);
    throw std::runtime_error("no key has the name " + std::string(name));
}

std::vector<std::string> split_words(std::string_view text) {
    std::istringstream stream{std::string(text)};
    return {std::istream_iterator<std::string>(stream), {}};
}

std::string compare_with_file(const std::string& path, const std::string& pictures) {
    if (const char* update = std::getenv("MOXIE_UPDATE_SCREENS"); update != nullptr && *update) {
        std::ofstream(path, std::ios::binary) << pictures;
        return {};
    }
    std::ifstream stream(path, std::ios::binary);
    const std::string wanted((std::istreambuf_iterator<char>(stream)),
                             std::istreambuf_iterator<char>());
    if (wanted == pictures) return {};
    const std::vector<std::string> old_lines = lines_of(wanted);
    const std::vector<std::string> new_lines = lines_of(pictures);
    size_t line = 0;
    while (line < old_lines.size() && line < new_lines.size() && old_lines[line] == new_lines[line])
        ++line;
    return path + ":" + std::to_string(line + 1) + ": differs from what was drawn:\n- " +
           (line < old_lines.size() ? old_lines[line] : "(end of file)") + "\n+ " +
           (line < new_lines.size() ? new_lines[line] : "(nothing)") + "\nall that was drawn:\n" +
           pictures;
}

}  // namespace support
