// Who may include whom (docs/architecture.md, "Layers"), checked on the #include lines of the tree.
// The build enforces the same by what each target links; this test also fences third-party headers.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

struct Include {
    std::string file = {};  // relative to the source tree
    int line = 0;
    std::string target;
    bool system = false;  // <...>
};

// Folder -> folders it may include, itself apart. base and chat's protocol are open to everybody;
// the folders of app/ see all of core and ui, and what follows is what they may see of one another.
const std::map<std::string, Strings> kMayInclude = {
    {"core/base", {}},
    {"core/chat", {"core/base"}},
    {"core/tensor", {"core/base"}},
    {"core/kernels", {"core/base", "core/tensor"}},
    {"core/ops", {"core/base", "core/tensor", "core/kernels"}},
    {"core/formats", {"core/base", "core/tensor"}},
    {"core/kv", {"core/base", "core/tensor"}},
    {"core/model",
     {"core/base", "core/tensor", "core/kernels", "core/ops", "core/formats", "core/kv"}},
    {"core/text", {"core/base", "core/chat", "core/formats", "core/tensor"}},
    {"core/store", {"core/base", "core/chat"}},
    {"core/engine",
     {"core/base", "core/chat", "core/tensor", "core/kernels", "core/ops", "core/formats",
      "core/kv", "core/model", "core/text"}},
    {"ui", {"core/base", "core/chat"}},
    {"app/settings", {}},
    {"app/machine", {"app/settings"}},
    {"app/models", {"app/settings"}},
    {"app/session", {"app/settings"}},
    {"app/oneshot", {"app/settings", "app/session"}},
    // The chat calls a command by its name, a command works on the chat.
    {"app/chat", {"app/settings", "app/machine", "app/models", "app/session", "app/commands"}},
    {"app/commands", {"app/settings", "app/machine", "app/models", "app/session", "app/chat"}},
    {"app/subcommands",
     {"app/settings", "app/machine", "app/models", "app/session", "app/commands"}},
};

// Third-party header prefix, or a header that wraps one -> the only files (or folders, with a
// trailing slash) that include it.
const std::map<std::string, Strings> kFences = {
    {"curses.h", {"ui/curses_terminal."}},
    {"ncurses", {"ui/curses_terminal."}},
    {"term.h", {"ui/curses_terminal."}},
    {"readline/", {"ui/line_editor."}},
    {"immintrin.h", {"core/kernels/", "core/ops/probe."}},
    {"cblas.h", {"core/ops/gemm_f32."}},
    {"sentencepiece", {"core/text/sentencepiece.", "app/train/", "tests/train/"}},
    {"sqlite3.h", {"core/store/database."}},
    {"pcre2.h", {"core/text/bpe."}},
    {"toml++/", {"core/base/toml."}},
    {"core/base/toml.h", {"app/settings/config_file.", "ui/theme.", "core/engine/mock"}},
    {"httplib.h", {"app/serve/", "core/engine/remote."}},
    {"md4c.h", {"ui/markdown."}},
    {"torch/", {"app/train/", "tests/train/"}},
    {"CLI/", {"app/options"}},
    {"spdlog/", {"core/base/log."}},
    {"utf8proc.h", {"core/base/utf8."}},
    {"xxhash.h", {"core/base/hash."}},
    {"readerwriterqueue", {"core/base/event_queue."}},
};

// "core/base" of core/base/error.h, "app" of app/main.cpp, "tests" of all below it.
std::string folder_of(const std::string& path) {
    const auto first = path.find('/');
    if (first == std::string::npos) return {};
    const std::string top = path.substr(0, first);
    const auto second = path.find('/', first + 1);
    const bool layered = (top == "core" || top == "app") && second != std::string::npos;
    return layered ? path.substr(0, second) : top;
}

bool below(const std::string& folder, const std::string& top) {
    return folder == top || folder.starts_with(top + "/");
}

// The file named by an #include line; nothing for any other line.
std::optional<Include> parse_include(const std::string& text) {
    const auto skip_spaces = [&](size_t at) { return text.find_first_not_of(" \t", at); };
    const size_t hash = skip_spaces(0);
    if (hash == std::string::npos || text[hash] != '#') return std::nullopt;
    const size_t word = skip_spaces(hash + 1);
    if (word == std::string::npos || text.compare(word, 7, "include") != 0) return std::nullopt;
    const size_t open = skip_spaces(word + 7);
    if (open == std::string::npos || (text[open] != '<' && text[open] != '"')) return std::nullopt;
    const bool system = text[open] == '<';
    const size_t close = text.find(system ? '>' : '"', open + 1);
    if (close == std::string::npos) return std::nullopt;
    return Include{.target = text.substr(open + 1, close - open - 1), .system = system};
}

std::vector<Include> read_includes() {
    const fs::path root = MOXIE_SOURCE_DIR;
    std::vector<Include> found;
    for (const char* top : {"app", "core", "ui", "tests", "bench"}) {
        for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
            const auto extension = entry.path().extension();
            if (extension != ".h" && extension != ".cpp") continue;
            std::ifstream in(entry.path());
            std::string text;
            for (int line = 1; std::getline(in, text); ++line) {
                auto include = parse_include(text);
                if (!include) continue;
                include->file = fs::relative(entry.path(), root).string();
                include->line = line;
                found.push_back(*std::move(include));
            }
        }
    }
    return found;
}

const std::vector<Include>& includes_of_tree() {
    static const std::vector<Include> all = read_includes();
    return all;
}

std::string place(const Include& include) {
    return include.file + ":" + std::to_string(include.line) + " includes " + include.target;
}

TEST(Layers, IncludesFollowTheLayers) {
    int checked = 0;
    for (const Include& include : includes_of_tree()) {
        const auto rule = kMayInclude.find(folder_of(include.file));
        if (include.system || rule == kMayInclude.end()) continue;
        const std::string target = folder_of(include.target);
        ++checked;
        const bool allowed =
            target == rule->first || (below(rule->first, "app") && !below(target, "app")) ||
            std::find(rule->second.begin(), rule->second.end(), target) != rule->second.end();
        EXPECT_TRUE(allowed) << place(include);
    }
    EXPECT_GT(checked, 50) << "the tree was not found";
}

TEST(Layers, OwnHeadersAreNamedFromTheRoot) {
    for (const Include& include : includes_of_tree()) {
        if (include.system) continue;
        EXPECT_TRUE(fs::exists(fs::path(MOXIE_SOURCE_DIR) / include.target)) << place(include);
    }
}

TEST(Layers, ThirdPartyHeadersStayBehindTheirFile) {
    for (const Include& include : includes_of_tree()) {
        for (const auto& [prefix, files] : kFences) {
            if (include.target.rfind(prefix, 0) != 0) continue;
            const bool allowed = std::any_of(
                files.begin(), files.end(),
                [&](const std::string& file) { return include.file.rfind(file, 0) == 0; });
            EXPECT_TRUE(allowed) << place(include);
        }
    }
}

TEST(Layers, OnlyTheProgramNamesTheEngine) {
    for (const Include& include : includes_of_tree()) {
        if (include.target != "core/engine/engine.h") continue;
        const std::string folder = folder_of(include.file);
        EXPECT_TRUE(below(folder, "app") || folder == "core/engine" || folder == "tests" ||
                    folder == "bench")
            << place(include);
    }
}

TEST(Layers, EverySourceFolderHasARule) {
    for (const std::string top : {"app", "core"}) {
        for (const auto& entry : fs::directory_iterator(fs::path(MOXIE_SOURCE_DIR) / top)) {
            const std::string folder = top + "/" + entry.path().filename().string();
            // The trainer is a program of its own.
            if (!entry.is_directory() || folder == "app/train") continue;
            EXPECT_TRUE(kMayInclude.contains(folder)) << folder << " has no line in kMayInclude";
        }
    }
}

}  // namespace
