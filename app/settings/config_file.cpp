#include "app/settings/config_file.h"

#include <algorithm>
#include <utility>

#include "core/base/toml.h"

namespace app {
namespace {

std::optional<ConfigValue> texts_of(const toml::array& array) {
    std::vector<std::string> texts;
    for (const toml::node& node : array) {
        const auto text = node.value_exact<std::string>();
        if (!text) return std::nullopt;
        texts.push_back(*text);
    }
    return texts;
}

std::optional<ConfigValue> value_of(const toml::node& node) {
    if (const toml::array* array = node.as_array()) return texts_of(*array);
    if (const auto value = node.value_exact<bool>()) return *value;
    if (const auto value = node.value_exact<int64_t>()) return *value;
    if (const auto value = node.value_exact<double>()) return *value;
    if (auto value = node.value_exact<std::string>()) return *std::move(value);
    return std::nullopt;
}

uint32_t line_of(const toml::node& node) {
    return static_cast<uint32_t>(node.source().begin.line);
}

class Flattener {
  public:
    void add_root(const toml::table& root) {
        for (const auto& [key, node] : root) {
            const std::string name(key.str());
            if (const toml::table* section = node.as_table())
                add_section(name, *section);
            else
                add({}, {}, name, node);
        }
    }

    std::vector<FileEntry> take() {
        std::ranges::stable_sort(entries_, {}, &FileEntry::line);
        return std::move(entries_);
    }

  private:
    void add_section(const std::string& section, const toml::table& table) {
        // An unknown section is told even when it is empty.
        if (table.empty()) entries_.push_back({.section = section, .line = line_of(table)});
        for (const auto& [key, node] : table) {
            const std::string name(key.str());
            const toml::table* part = node.as_table();
            if (part == nullptr) {
                add(section, {}, name, node);
                continue;
            }
            if (part->empty())
                entries_.push_back({.section = section, .part = name, .line = line_of(*part)});
            for (const auto& [inner, value] : *part)
                add(section, name, std::string(inner.str()), value);
        }
    }

    void add(std::string section, std::string part, std::string name, const toml::node& node) {
        entries_.push_back({.section = std::move(section),
                            .part = std::move(part),
                            .name = std::move(name),
                            .value = value_of(node),
                            .line = line_of(node)});
    }

    std::vector<FileEntry> entries_;
};

// "Error while parsing floating-point: expected decimal digit, saw 'x'" without its beginning.
std::string problem_of(std::string_view description) {
    constexpr std::string_view kBeginning = "Error while parsing ";
    if (description.starts_with(kBeginning))
        if (const size_t colon = description.find(": "); colon != std::string_view::npos)
            description.remove_prefix(colon + 2);
    while (description.ends_with('.') || description.ends_with('\n'))
        description.remove_suffix(1);
    std::string problem(description);
    if (!problem.empty() && problem.front() >= 'A' && problem.front() <= 'Z')
        problem.front() = static_cast<char>(problem.front() + 32);
    return problem;
}

}  // namespace

std::variant<std::vector<FileEntry>, SyntaxError> parse_config_text(std::string_view text) {
    try {
        Flattener entries;
        entries.add_root(toml::parse(text));
        return entries.take();
    } catch (const toml::parse_error& error) {
        return SyntaxError{.line = static_cast<uint32_t>(error.source().begin.line),
                           .column = static_cast<uint32_t>(error.source().begin.column),
                           .problem = problem_of(error.description())};
    }
}

}  // namespace app
