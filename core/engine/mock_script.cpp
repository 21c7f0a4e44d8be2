#include "core/engine/mock_script.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/toml.h"

namespace core {
namespace {

constexpr std::string_view kAdvice = "see docs/mock_backend.md";

[[noreturn]] void fail(const std::string& path, const toml::source_region& where,
                       const std::string& problem) {
    throw Error(ErrorKind::config, path + ":" + std::to_string(where.begin.line), problem,
                std::string(kAdvice));
}

// A table of the script with typed access. Every key must be known, so that a misspelt one is an
// error and not a test that checks nothing.
class Section {
  public:
    Section(const std::string& path, const toml::table& table,
            std::initializer_list<std::string_view> keys)
        : path_(path), table_(table) {
        for (const auto& [key, value] : table)
            if (std::ranges::find(keys, key.str()) == keys.end())
                fail(path, value.source(), "unknown key \"" + std::string(key.str()) + "\"");
    }

    std::optional<std::string> text(std::string_view key) const {
        return value<std::string>(key, "a string");
    }

    bool flag(std::string_view key) const {
        return value<bool>(key, "true or false").value_or(false);
    }

    float number(std::string_view key, float fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return fallback;
        const auto number = node->value<double>();
        if (!number) fail(path_, node->source(), std::string(key) + " is not a number");
        return static_cast<float>(*number);
    }

    template <class T>
    T count(std::string_view key, T fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return fallback;
        const auto number = node->value_exact<int64_t>();
        const auto most = static_cast<int64_t>(
            std::min<uint64_t>(std::numeric_limits<T>::max(), std::numeric_limits<int64_t>::max()));
        if (!number || *number < 0 || *number > most)
            fail(path_, node->source(),
                 std::string(key) + " must be an integer from 0 to " + std::to_string(most));
        return static_cast<T>(*number);
    }

    Milliseconds delay(std::string_view key, Milliseconds fallback) const {
        return Milliseconds(count<uint32_t>(key, static_cast<uint32_t>(fallback.count())));
    }

    // The index of the key's text in `names`; 0 when the key is absent.
    template <size_t N>
    size_t choice(std::string_view key, const std::array<std::string_view, N>& names) const {
        const auto name = text(key);
        if (!name) return 0;
        const auto* const found = std::ranges::find(names, *name);
        if (found != names.end()) return static_cast<size_t>(found - names.begin());
        std::string allowed;
        for (const auto each : names)
            allowed += (allowed.empty() ? "" : ", ") + std::string(each);
        fail(path_, table_.get(key)->source(),
             std::string(key) + " is \"" + *name + "\", must be one of " + allowed);
    }

    const toml::table* table(std::string_view key) const {
        return part<toml::table>(key, "a table");
    }
    const toml::array* array(std::string_view key) const {
        return part<toml::array>(key, "an array");
    }

    [[noreturn]] void fail_here(const std::string& problem) const {
        fail(path_, table_.source(), problem);
    }
    const std::string& path() const { return path_; }

  private:
    template <class T>
    std::optional<T> value(std::string_view key, const char* kind) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return std::nullopt;
        auto result = node->value_exact<T>();
        if (!result) fail(path_, node->source(), std::string(key) + " is not " + kind);
        return result;
    }

    template <class T>
    const T* part(std::string_view key, const char* kind) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return nullptr;
        const T* result = node->as<T>();
        if (result == nullptr) fail(path_, node->source(), std::string(key) + " is not " + kind);
        return result;
    }

    const std::string& path_;
    const toml::table& table_;
};

std::optional<MockError> read_error(const Section& parent) {
    const toml::table* table = parent.table("error");
    if (table == nullptr) return std::nullopt;
    const Section section(parent.path(), *table, {"after", "sentence", "exit_code"});
    return MockError{.after = section.count<uint32_t>("after", 0),
                     .sentence = section.text("sentence").value_or("The script says so."),
                     .exit_code = static_cast<int>(section.count<uint8_t>("exit_code", 1))};
}

constexpr std::array<std::string_view, 5> kStages{"none", "banned", "top_k", "top_p", "min_p"};
constexpr std::array<std::string_view, 3> kHolds{"none", "cancel", "update"};
constexpr std::array<std::string_view, 3> kFinishes{"stop", "length", "context_full"};

void read_alternatives(const Section& parent, chat::Token& token) {
    const toml::array* list = parent.array("alternatives");
    if (list == nullptr) return;
    for (const toml::node& node : *list) {
        if (!node.is_table()) fail(parent.path(), node.source(), "an alternative is not a table");
        const Section section(parent.path(), *node.as_table(),
                              {"id", "text", "p", "raw", "removed_by"});
        const float p = section.number("p", 0);
        token.alternatives.push_back(
            {.id = section.count<TokenId>("id", 0),
             .bytes = section.text("text").value_or(""),
             .raw_probability = section.number("raw", p),
             .final_probability = p,
             .removed_by = static_cast<chat::Stage>(section.choice("removed_by", kStages))});
    }
}

void read_experts(const Section& parent, chat::Token& token) {
    const toml::array* list = parent.array("experts");
    if (list == nullptr) return;
    for (const toml::node& node : *list) {
        if (!node.is_table()) fail(parent.path(), node.source(), "an expert is not a table");
        const Section section(parent.path(), *node.as_table(), {"layer", "expert", "weight"});
        token.experts.push_back({.layer = section.count<uint16_t>("layer", 0),
                                 .expert = section.count<uint16_t>("expert", 0),
                                 .weight = section.number("weight", 0)});
    }
}

MockToken read_token(const std::string& path, const toml::node& node, Milliseconds delay) {
    MockToken result{.token = {}, .delay = delay};
    result.token.final_probability = 1;
    result.token.raw_probability = 1;
    if (const auto text = node.value_exact<std::string>()) {
        result.token.bytes = *text;
        return result;
    }
    if (!node.is_table()) fail(path, node.source(), "a token is neither a string nor a table");
    const Section section(path, *node.as_table(),
                          {"id", "text", "p", "raw", "rank", "entropy", "delay_ms", "hold",
                           "alternatives", "experts"});
    chat::Token& token = result.token;
    token.id = section.count<TokenId>("id", -1);
    token.bytes = section.text("text").value_or("");
    token.final_probability = section.number("p", 1);
    token.raw_probability = section.number("raw", token.final_probability);
    token.rank = section.count<uint32_t>("rank", 0);
    token.entropy = section.number("entropy", 0);
    read_alternatives(section, token);
    read_experts(section, token);
    result.delay = section.delay("delay_ms", delay);
    result.hold = static_cast<MockHold>(section.choice("hold", kHolds));
    return result;
}

void read_tokens(const Section& section, MockReply& reply) {
    const Milliseconds delay = section.delay("delay_ms", Milliseconds(0));
    if (const auto text = section.text("text")) {
        for (std::string& word : mock_words(*text)) {
            MockToken token{.token = {}, .delay = delay};
            token.token.bytes = std::move(word);
            token.token.final_probability = token.token.raw_probability = 1;
            reply.tokens.push_back(std::move(token));
        }
    }
    if (const toml::array* list = section.array("tokens"))
        for (const toml::node& node : *list)
            reply.tokens.push_back(read_token(section.path(), node, delay));
    for (size_t i = 0; i < reply.tokens.size(); ++i)
        if (reply.tokens[i].token.id < 0) reply.tokens[i].token.id = static_cast<TokenId>(i);
    const uint32_t repeat = section.count<uint32_t>("repeat", 1);
    if (repeat == 0 || repeat > 1'000'000) section.fail_here("repeat must be from 1 to 1000000");
    const size_t once = reply.tokens.size();
    reply.tokens.reserve(once * repeat);
    for (size_t i = once; i < once * repeat; ++i)
        reply.tokens.push_back(reply.tokens[i - once]);
}

MockReply read_reply(const std::string& path, const toml::table& table) {
    const Section section(
        path, table,
        {"match", "times", "prompt_tokens", "reused_tokens", "restored_tokens", "restore_ms",
         "prefill_chunk", "prefill_delay_ms", "prefill_reason", "hold_prefill", "text", "tokens",
         "delay_ms", "repeat", "endless", "finish", "error"});
    MockReply reply{.match = section.text("match"),
                    .times = section.count<uint32_t>("times", 0),
                    .prompt_tokens = section.count<uint32_t>("prompt_tokens", 0),
                    .reused_tokens = section.count<uint32_t>("reused_tokens", 0),
                    .restored_tokens = section.count<uint32_t>("restored_tokens", 0),
                    .restore_delay = section.delay("restore_ms", Milliseconds(0)),
                    .prefill_chunk = section.count<uint32_t>("prefill_chunk", 64),
                    .prefill_delay = section.delay("prefill_delay_ms", Milliseconds(0)),
                    .prefill_reason = section.text("prefill_reason").value_or(""),
                    .hold_prefill = section.flag("hold_prefill"),
                    .tokens = {},
                    .endless = section.flag("endless"),
                    .finish = static_cast<chat::FinishReason>(section.choice("finish", kFinishes)),
                    .error = read_error(section)};
    read_tokens(section, reply);
    if (reply.prefill_chunk == 0) section.fail_here("prefill_chunk must be at least 1");
    if (reply.endless && reply.tokens.empty()) section.fail_here("an endless reply needs tokens");
    return reply;
}

MockModel read_model(const std::string& path, const toml::table& table) {
    const Section section(
        path, table,
        {"name", "family", "format", "context", "vocab", "weight_bytes", "kv_bytes", "load_ms",
         "load_steps", "hold_load", "load_waits_for", "stats_ms", "error", "sampling"});
    MockModel model;
    model.ready = {.id = 0,
                   .name = section.text("name").value_or("mock"),
                   .family = section.text("family").value_or("mock"),
                   .format = section.text("format").value_or("mock"),
                   .context = section.count<uint32_t>("context", 8192),
                   .vocab = section.count<uint32_t>("vocab", 1024),
                   .weight_bytes = section.count<uint64_t>("weight_bytes", 1'000'000),
                   .kv_bytes = section.count<uint64_t>("kv_bytes", 100'000),
                   .seconds = 0};
    if (const toml::table* hints = table["sampling"].as_table())
        for (const auto& [name, value] : *hints)
            if (const auto text = value.value<std::string>())
                model.ready.sampling_hints[std::string(name.str())] = *text;
    model.load_delay = section.delay("load_ms", Milliseconds(0));
    model.load_steps = std::max(1U, section.count<uint32_t>("load_steps", 4));
    model.hold_load = section.flag("hold_load");
    model.load_waits_for = section.text("load_waits_for").value_or("");
    model.error = read_error(section);
    model.stats_every = section.delay("stats_ms", Milliseconds(250));
    return model;
}

MockKv read_kv(const std::string& path, const toml::table& table) {
    const Section section(path, table,
                          {"lines", "memory_bytes", "memory_budget", "disk_bytes", "disk_budget",
                           "memory_pages", "disk_pages", "prefetch_tokens", "prefetch_ms"});
    MockKv kv;
    if (const toml::array* list = section.array("lines"))
        for (const toml::node& node : *list) {
            if (!node.is_table()) fail(path, node.source(), "a line is not a table");
            const Section line(
                path, *node.as_table(),
                {"tokens", "resident", "on_disk", "disk_bytes", "restore_ms", "reread_ms"});
            const auto seconds = [&](std::string_view key) {
                return static_cast<double>(line.count<uint32_t>(key, 0)) / 1e3;
            };
            kv.entries.push_back({.tokens = line.count<uint32_t>("tokens", 0),
                                  .resident = line.count<uint32_t>("resident", 0),
                                  .on_disk = line.count<uint32_t>("on_disk", 0),
                                  .disk_bytes = line.count<uint64_t>("disk_bytes", 0),
                                  .restore_seconds = seconds("restore_ms"),
                                  .reread_seconds = seconds("reread_ms")});
        }
    kv.totals = {.memory_bytes = section.count<uint64_t>("memory_bytes", 0),
                 .memory_budget = section.count<uint64_t>("memory_budget", 0),
                 .disk_bytes = section.count<uint64_t>("disk_bytes", 0),
                 .disk_budget = section.count<uint64_t>("disk_budget", 0),
                 .memory_pages = section.count<uint32_t>("memory_pages", 0),
                 .disk_pages = section.count<uint32_t>("disk_pages", 0)};
    kv.prefetch_tokens = section.count<uint32_t>("prefetch_tokens", 0);
    kv.prefetch_delay = section.delay("prefetch_ms", Milliseconds(0));
    return kv;
}

}  // namespace

MockScript read_mock_script(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw Error(ErrorKind::model_not_found, path, "cannot be read",
                    "--backend mock:FILE.toml needs a script");
    MockScript script;
    try {
        const toml::table root = toml::parse(file, path);
        const Section section(path, root, {"model", "kv", "reply"});
        if (const toml::table* model = section.table("model"))
            script.model = read_model(path, *model);
        else
            script.model = read_model(path, toml::table{});
        if (const toml::table* kv = section.table("kv")) script.kv = read_kv(path, *kv);
        if (const toml::array* replies = section.array("reply"))
            for (const toml::node& node : *replies) {
                if (!node.is_table()) fail(path, node.source(), "a reply is not a table");
                script.replies.push_back(read_reply(path, *node.as_table()));
            }
    } catch (const toml::parse_error& error) {
        fail(path, error.source(), std::string(error.description()));
    }
    return script;
}

std::vector<std::string> mock_words(const std::string& text) {
    std::vector<std::string> words;
    for (const char c : text) {
        const bool after_break = !words.empty() && words.back().back() == '\n';
        if (words.empty() || c == ' ' || after_break) words.emplace_back();
        words.back() += c;
    }
    return words;
}

}  // namespace core
