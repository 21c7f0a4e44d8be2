#include "app/chat/attachments.h"

#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <system_error>
#include <tuple>
#include <utility>

#include "app/commands/command_words.h"
#include "core/base/error.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

namespace fs = std::filesystem;

// A file of source has less; a message of several megabytes fits no context window.
constexpr uint64_t kMostBytes = uint64_t{1} << 20U;
constexpr uint64_t kMostBytesTogether = uint64_t{4} << 20U;
constexpr size_t kMostFiles = 100;
// Looked through for a range of lines.
constexpr uint64_t kMostBytesRead = uint64_t{64} << 20U;

constexpr std::string_view kPatternSigns = "*?[";

[[noreturn]] void refuse(std::string_view object, std::string problem, std::string advice = {}) {
    throw core::Error(core::ErrorKind::usage, std::string(object), std::move(problem),
                      std::move(advice));
}

std::string with_home(std::string_view path) {
    if (path != "~" && !path.starts_with("~/")) return std::string(path);
    const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): nobody changes it
    return (home != nullptr ? home : "~") + std::string(path.substr(1));
}

// --- reading ----------------------------------------------------------------------------------

void require_text(const std::string& name, std::string_view text) {
    if (const size_t zero = text.find('\0'); zero != std::string_view::npos)
        refuse(name, "is no text file (byte " + std::to_string(zero) + " is zero)",
               "only text can be sent");
    if (!core::is_utf8(text))
        refuse(name, "is no UTF-8 text", "convert it first, for example with iconv");
}

// Throws where it cannot be sent at all.
void require_file(const std::string& name, const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) refuse(name, "no such file", "Tab completes its name");
    if (fs::is_directory(status)) refuse(name, "is a folder", "name its files: " + name + "/*");
    if (!fs::is_regular_file(status)) refuse(name, "is no ordinary file");
}

std::ifstream open_file(const std::string& name, const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) refuse(name, "cannot be read: " + std::generic_category().message(errno));
    return in;
}

std::string read_whole(const std::string& name, const fs::path& path) {
    std::error_code error;
    const uint64_t bytes = fs::file_size(path, error);
    if (error || bytes > kMostBytes)
        refuse(name,
               "has " + core::human_bytes(bytes) + ", more than the " +
                   core::human_bytes(kMostBytes) + " that a file of a message may have",
               "a part of it goes with :FIRST-LAST behind its name");
    std::ifstream in = open_file(name, path);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::string read_lines(const std::string& name, const fs::path& path, uint32_t first,
                       uint32_t last) {
    std::ifstream in = open_file(name, path);
    std::string text;
    std::string line;
    uint64_t read = 0;
    uint32_t number = 0;
    while (number < last && read <= kMostBytesRead && std::getline(in, line)) {
        read += line.size() + 1;
        if (++number < first) continue;
        text += (number == first ? "" : "\n") + line;
        if (text.size() > kMostBytes)
            refuse(name, "has more than " + core::human_bytes(kMostBytes) + " in these lines",
                   "name fewer");
    }
    if (number < first)
        refuse(name,
               "has " + core::with_commas(number) + " lines, and no line " + std::to_string(first));
    return text;
}

std::shared_ptr<const chat::Attachment> read_file(const std::string& name, const FileWish& wish) {
    const fs::path path = with_home(name);
    require_file(name, path);
    auto file = std::make_shared<chat::Attachment>(
        chat::Attachment{.path = name, .first = wish.first, .last = wish.last, .code = wish.code});
    file->text =
        wish.first == 0 ? read_whole(name, path) : read_lines(name, path, wish.first, wish.last);
    require_text(name, file->text);
    while (file->text.ends_with('\n'))
        file->text.pop_back();
    if (file->text.empty()) refuse(chat::label_of(*file), "is empty", "there is nothing to send");
    return file;
}

// --- patterns ---------------------------------------------------------------------------------

bool is_pattern(std::string_view path) {
    return path.find_first_of(kPatternSigns) != std::string_view::npos;
}

// Names of `folder` (with a slash at its end, or empty) that the pattern matches, as a shell does.
std::vector<std::string> matching(const std::string& folder, const std::string& pattern) {
    std::vector<std::string> names;
    if (!is_pattern(pattern)) return {folder + pattern};
    std::error_code error;
    const std::string place = folder.empty() ? "." : with_home(folder);
    for (auto entry = fs::directory_iterator(place, error);
         !error && entry != fs::directory_iterator(); entry.increment(error)) {
        std::string name = entry->path().filename().string();
        if (::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0)
            names.push_back(folder + name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

// Ordinary files that a pattern names, at most one more than a message may have.
void expand(const std::string& folder, std::string_view rest, std::vector<std::string>& found) {
    const size_t slash = rest.find('/');
    const std::string part(rest.substr(0, slash));
    if (slash != std::string_view::npos && !is_pattern(part))
        return expand(folder + part + "/", rest.substr(slash + 1), found);
    for (const std::string& name : matching(folder, part)) {
        if (found.size() > kMostFiles) return;
        std::error_code error;
        if (slash != std::string_view::npos) {
            if (fs::is_directory(with_home(name), error))
                expand(name + "/", rest.substr(slash + 1), found);
        } else if (fs::is_regular_file(with_home(name), error)) {
            found.push_back(name);
        }
    }
}

bool names_a_file(const std::string& path) {
    std::error_code error;
    return fs::exists(with_home(path), error);
}

// --- words ------------------------------------------------------------------------------------

// "10", "10-25"; false: it is no range.
bool read_range(std::string_view text, uint32_t& first, uint32_t& last) {
    const size_t dash = std::min(text.find('-'), text.size());
    const auto number = [](std::string_view digits, uint32_t& value) {
        const char* end = digits.data() + digits.size();
        return !digits.empty() && std::from_chars(digits.data(), end, value).ptr == end;
    };
    if (!number(text.substr(0, dash), first)) return false;
    last = first;
    if (dash < text.size() && !number(text.substr(dash + 1), last)) return false;
    return first > 0 && last >= first;
}

// "main.cpp:10-25", where there is no file of that whole name.
FileWish wish_of(std::string_view word) {
    FileWish wish{.path = std::string(word)};
    const size_t colon = word.rfind(':');
    if (colon == std::string_view::npos || colon == 0 || names_a_file(wish.path)) return wish;
    if (read_range(word.substr(colon + 1), wish.first, wish.last))
        wish.path = word.substr(0, colon);
    else
        wish.first = wish.last = 0;
    return wish;
}

// What must be a file, since hardly anything else looks like that.
bool looks_like_a_path(std::string_view word) {
    return word.find_first_of("/.*~") != std::string_view::npos;
}

// The wish of a word behind @; nothing to read: an empty path. A sentence may go on behind it.
FileWish mentioned(std::string word) {
    FileWish wish = wish_of(word);
    const auto there = [](const FileWish& one) {
        return is_pattern(one.path) || names_a_file(one.path);
    };
    while (!there(wish) && !word.empty() &&
           std::string_view(".,;:!?)'\"").find(word.back()) != std::string_view::npos) {
        word.pop_back();
        wish = wish_of(word);
    }
    const bool plain = !names_a_file(wish.path) && !looks_like_a_path(wish.path);
    return plain ? FileWish{} : wish;
}

// Calls `use` for every word behind @ outside of fences, with and without a second @. Returns the
// text without that second one.
std::string each_mention(std::string_view text,
                         const std::function<void(const std::string& word)>& use) {
    std::string plain;
    bool in_fence = false;
    for (size_t at = 0; at < text.size();) {
        const bool begins_line = at == 0 || text[at - 1] == '\n';
        if (begins_line && text.substr(at).starts_with("```")) in_fence = !in_fence;
        const bool begins_word =
            begins_line || std::string_view(" \t(").find(text[at - 1]) != std::string_view::npos;
        if (in_fence || !begins_word || text[at] != '@') {
            plain += text[at++];
        } else if (text.substr(at).starts_with("@@")) {
            plain += '@';
            at += 2;
        } else {
            const size_t begin = at++;
            use(next_word(text, at));
            plain += text.substr(begin, at - begin);
        }
    }
    return plain;
}

bool has(const chat::Attachments& files, const std::string& label) {
    return std::any_of(files.begin(), files.end(),
                       [&](const auto& file) { return chat::label_of(*file) == label; });
}

}  // namespace

chat::Attachments read_files(const FileWish& wish) {
    if (!is_pattern(wish.path) || names_a_file(wish.path)) return {read_file(wish.path, wish)};
    std::vector<std::string> names;
    expand(wish.path.starts_with('/') ? "/" : "",
           std::string_view(wish.path).substr(wish.path.starts_with('/') ? 1 : 0), names);
    if (names.empty()) refuse(wish.path, "no file matches", "Tab completes names");
    if (names.size() > kMostFiles)
        refuse(wish.path, "more than " + std::to_string(kMostFiles) + " files match", "name fewer");
    chat::Attachments files;
    for (const std::string& name : names)
        files.push_back(read_file(name, wish));
    return files;
}

std::vector<FileWish> file_arguments(std::string_view arguments) {
    std::vector<FileWish> wishes;
    FileWish common;
    const std::vector<std::string> words = quoted_words(arguments);
    for (size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (word != "--as" && word != "--lines") {
            wishes.push_back(wish_of(word));
            continue;
        }
        const std::string value = i + 1 < words.size() ? words[++i] : std::string();
        if (word == "--lines" && !read_range(value, common.first, common.last))
            refuse("--lines " + value, "is no range of lines", "write it as 10-25");
        if (word == "--as" && value != "code" && value != "text")
            refuse("--as " + value, "is not known", "there are code and text");
        if (word == "--as") common.code = value == "code";
    }
    for (FileWish& wish : wishes) {
        wish.code = common.code;
        if (common.first != 0) std::tie(wish.first, wish.last) = {common.first, common.last};
    }
    return wishes;
}

std::string text_or_file(const std::string& word) {
    return word.starts_with('@') ? read_file(word.substr(1), {})->text : word;
}

std::vector<std::string> paths_beginning(std::string_view begun) {
    std::vector<std::string> found;
    const size_t slash = begun.rfind('/');
    const std::string folder(slash == std::string_view::npos ? "" : begun.substr(0, slash + 1));
    const std::string_view name = begun.substr(folder.size());
    std::error_code error;
    const std::string place = folder.empty() ? "." : with_home(folder);
    for (auto entry = fs::directory_iterator(place, error);
         !error && entry != fs::directory_iterator(); entry.increment(error)) {
        const std::string candidate = entry->path().filename().string();
        if (!candidate.starts_with(name) || (name.empty() && candidate.starts_with('.'))) continue;
        std::error_code unknown;
        found.push_back(folder + candidate + (entry->is_directory(unknown) ? "/" : ""));
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::vector<std::string> complete_mention(std::string_view message) {
    const size_t space = message.find_last_of(" \t\n");
    const std::string_view word = message.substr(space == std::string_view::npos ? 0 : space + 1);
    std::vector<std::string> found;
    if (!word.starts_with('@') || word.starts_with("@@")) return found;
    const bool quoted = word.starts_with("@\"");
    for (const std::string& path : paths_beginning(word.substr(quoted ? 2 : 1))) {
        const bool needs_quotes = quoted || path.find(' ') != std::string::npos;
        found.push_back(needs_quotes ? "@\"" + path + (path.ends_with('/') ? "" : "\"")
                                     : "@" + path);
    }
    return found;
}

void MessageFiles::attach(const chat::Attachments& files) {
    for (const auto& file : files) {
        std::erase_if(attached_, [&](const auto& one) {
            return chat::label_of(*one) == chat::label_of(*file);
        });
        attached_.push_back(file);
    }
}

void MessageFiles::attach_text(const std::string& name, std::string text) {
    while (text.ends_with('\n'))
        text.pop_back();
    attach({std::make_shared<chat::Attachment>(
        chat::Attachment{.path = name, .text = std::move(text)})});
}

void MessageFiles::clear() {
    attached_.clear();
    named_before_.clear();
}

void MessageFiles::edit(const chat::Turn& turn) {
    clear();
    attached_ = turn.files;
    each_mention(turn.text, [this](const std::string& word) { named_before_.insert(word); });
}

chat::Prompt MessageFiles::take(std::string_view words) {
    chat::Prompt prompt;
    std::set<std::string, std::less<>> gone = named_before_;
    chat::Attachments named;
    prompt.text = each_mention(words, [&](const std::string& word) {
        gone.erase(word);
        const FileWish wish = mentioned(word);
        const chat::Attachment as_named{.path = wish.path, .first = wish.first, .last = wish.last};
        const bool known = has(attached_, chat::label_of(as_named)) ||
                           named_before_.count(word) > 0;  // its files are attached, or it is text
        if (wish.path.empty() || known) return;
        try {
            for (auto& file : read_files(wish))
                if (!has(named, chat::label_of(*file))) named.push_back(std::move(file));
        } catch (const core::Error& error) {
            if (names_a_file(wish.path)) throw;
            refuse(error.object(), error.problem(), "@@" + word + " sends these words as they are");
        }
    });
    for (const auto& file : attached_) {
        const auto names_it = [&file](const std::string& word) {
            const FileWish wish = mentioned(word);
            return wish.path == file->path ||
                   ::fnmatch(wish.path.c_str(), file->path.c_str(), FNM_PATHNAME) == 0;
        };
        if (std::none_of(gone.begin(), gone.end(), names_it)) prompt.files.push_back(file);
    }
    prompt.files.insert(prompt.files.end(), named.begin(), named.end());
    uint64_t bytes = 0;
    for (const auto& file : prompt.files)
        bytes += file->text.size();
    if (bytes > kMostBytesTogether || prompt.files.size() > kMostFiles)
        refuse("this message",
               "has " + std::to_string(prompt.files.size()) + " files with " +
                   core::human_bytes(bytes) + ", more than fit",
               "send fewer at once");
    clear();
    return prompt;
}

}  // namespace app
