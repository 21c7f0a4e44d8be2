#include "app/subcommands/kv_cmd.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <map>
#include <ostream>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/units.h"
#include "core/base/utf8.h"
#include "core/kv/disk_store.h"

namespace app {
namespace {

using core::PageName;
using core::StoredPage;
using Json = nlohmann::ordered_json;
using TimePoint = std::chrono::system_clock::time_point;

// The way from a root to a page that nothing continues.
struct Line {
    uint64_t tokens = 0;
    uint64_t pages = 0;
    uint64_t bytes = 0;
    uint64_t shared_pages = 0;  // of these, in other lines too
    bool whole = true;          // false: its beginning is not there, so it serves nobody
    TimePoint last_use;
};

struct Root {
    std::string name;
    uint64_t pages = 0;
    uint64_t bytes = 0;
    uint64_t shared_pages = 0;
    uint64_t pages_of_lines = 0;  // each line's counted for itself
    std::vector<Line> lines;      // the most recently used first
};

// The pages below one root, linked.
class Tree {
  public:
    void add(const StoredPage& page) {
        pages_.try_emplace(page.address.name, Node{.page = &page, .children = 0, .lines = 0});
    }

    Root describe(const PageName& name) {
        Root root{.name = name.hex(), .lines = {}};
        for (const auto& [own, node] : pages_) {
            root.bytes += node.page->bytes;
            if (Node* parent = find(node.page->address.parent)) ++parent->children;
        }
        root.pages = pages_.size();
        for (auto& [own, node] : pages_)
            if (node.children == 0) walk(node, [](Node& passed) { ++passed.lines; });
        for (auto& [own, node] : pages_) {
            if (node.lines > 1) ++root.shared_pages;
            if (node.children == 0) root.lines.push_back(line_to(node, name));
        }
        for (const Line& line : root.lines)
            root.pages_of_lines += line.pages;
        std::ranges::sort(root.lines, std::greater{}, &Line::last_use);
        return root;
    }

  private:
    struct Node {
        const StoredPage* page = nullptr;
        uint64_t children = 0;
        uint64_t lines = 0;
    };

    Node* find(const PageName& name) {
        const auto node = pages_.find(name);
        return node == pages_.end() ? nullptr : &node->second;
    }

    // Calls visit(node) for a page and those before it; returns the parent of the first. File names
    // may say anything, so the way may be a circle.
    template <class Visit>
    PageName walk(Node& last, Visit&& visit) {
        Node* node = &last;
        for (size_t passed = 0;; ++passed) {
            visit(*node);
            Node* const parent = find(node->page->address.parent);
            if (parent == nullptr || passed == pages_.size()) return node->page->address.parent;
            node = parent;
        }
    }

    Line line_to(Node& last, const PageName& root) {
        Line line{.last_use = last.page->last_use};
        const PageName begin = walk(last, [&](const Node& node) {
            line.tokens += node.page->address.tokens;
            line.bytes += node.page->bytes;
            ++line.pages;
            if (node.lines > 1) ++line.shared_pages;
        });
        line.whole = begin == root;
        return line;
    }

    std::unordered_map<PageName, Node, core::PageNameHash> pages_;
};

std::vector<Root> describe(const std::vector<StoredPage>& pages) {
    std::map<PageName, Tree> trees;
    for (const StoredPage& page : pages)
        trees[page.address.root].add(page);
    std::vector<Root> roots;
    roots.reserve(trees.size());
    for (auto& [name, tree] : trees)
        roots.push_back(tree.describe(name));
    return roots;
}

// In UTC, as ISO 8601 has it.
std::string time_text(TimePoint time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    char text[32] = "";
    if (gmtime_r(&seconds, &parts) != nullptr)
        std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

// 1.21 GB; decimal units, as file managers and disks use them.
std::string bytes_text(uint64_t bytes) {
    constexpr const char* kUnits[] = {"bytes", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    for (; value >= 999.5 && unit + 1 < std::size(kUnits); ++unit)
        value /= 1000;
    char text[40];
    const int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    std::snprintf(text, sizeof text, "%.*f %s", digits, value, kUnits[unit]);
    return text;
}

std::string pages_text(uint64_t pages) {
    return core::counted(pages, "page");
}

void print_line(const Line& line, std::ostream& out) {
    out << "  " << core::counted(line.tokens, "token") << ", " << pages_text(line.pages);
    if (line.shared_pages != 0) out << " (" << line.shared_pages << " shared)";
    out << ", " << bytes_text(line.bytes) << ", last used " << time_text(line.last_use);
    if (!line.whole) out << ", of no use: its beginning is gone";
    out << '\n';
}

void print(const KvOptions& options, const std::vector<Root>& roots, std::ostream& out) {
    uint64_t pages = 0;
    uint64_t bytes = 0;
    for (const Root& root : roots) {
        pages += root.pages;
        bytes += root.bytes;
    }
    std::string directory = core::sanitize(options.directory);
    std::ranges::replace(directory, '\n', ' ');
    out << directory << ": " << pages_text(pages) << ", " << bytes_text(bytes);
    if (options.budget != 0) out << " of " << bytes_text(options.budget);
    out << '\n';
    for (const Root& root : roots) {
        out << "\nroot " << root.name << " (a model, a KV type and who may share): "
            << core::counted(root.lines.size(), "line") << ", " << pages_text(root.pages) << ", "
            << bytes_text(root.bytes) << '\n';
        if (root.shared_pages != 0)
            out << "  " << pages_text(root.shared_pages)
                << " shared by several lines and kept once; without sharing the lines would take "
                << pages_text(root.pages_of_lines) << '\n';
        for (const Line& line : root.lines)
            print_line(line, out);
    }
}

Json to_json(const Line& line) {
    return {{"tokens", line.tokens}, {"pages", line.pages}, {"shared_pages", line.shared_pages},
            {"bytes", line.bytes},   {"whole", line.whole}, {"last_use", time_text(line.last_use)}};
}

Json to_json(const Root& root) {
    Json lines = Json::array();
    for (const Line& line : root.lines)
        lines.push_back(to_json(line));
    return {{"name", root.name},
            {"pages", root.pages},
            {"bytes", root.bytes},
            {"shared_pages", root.shared_pages},
            {"pages_without_sharing", root.pages_of_lines},
            {"lines", std::move(lines)}};
}

Json to_json(const KvOptions& options, const std::vector<Root>& roots) {
    Json all = Json::array();
    uint64_t pages = 0;
    uint64_t bytes = 0;
    for (const Root& root : roots) {
        pages += root.pages;
        bytes += root.bytes;
        all.push_back(to_json(root));
    }
    return {{"directory", options.directory},
            {"pages", pages},
            {"bytes", bytes},
            {"budget_bytes", options.budget},
            {"roots", std::move(all)}};
}

}  // namespace

int run_kv(const KvOptions& options, std::ostream& out) {
    const auto roots = describe(core::list_pages(options.directory));
    if (options.json) {
        // ASCII only, so that no control character of a path reaches the terminal unescaped.
        out << to_json(options, roots).dump(2, ' ', true, Json::error_handler_t::replace) << '\n';
    } else {
        print(options, roots, out);
    }
    return 0;
}

}  // namespace app
