#include "core/text/chat_format.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/error.h"
#include "core/text/detokenizer.h"

namespace core {

namespace {

// What stands around a text.
struct Words {
    std::string_view open = {};
    std::string_view close = {};
};

constexpr Words kMlSystem{"<|im_start|>system\n", "<|im_end|>\n"};
constexpr Words kMlUser{"<|im_start|>user\n", "<|im_end|>\n"};
constexpr Words kMlAssistant{"<|im_start|>assistant\n", "<|im_end|>\n"};
constexpr std::array<std::string_view, 3> kMlEnds{"<|im_end|>", "<|endoftext|>"};

constexpr Words kLlama3User{"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"};
constexpr Words kLlama3Assistant{"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"};
constexpr std::array<std::string_view, 3> kLlama3Ends{"<|eot_id|>", "<|end_of_text|>",
                                                      "<|eom_id|>"};

constexpr std::array<std::string_view, 6> kMistralPieces{
    "[INST]", "[/INST]", "</s>", "<s>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"};

}  // namespace

// A format as data: a message is its role's opening words, its text and its role's closing words.
struct ChatFormat::Style {
    std::string_view name;
    Words system = {};
    Words user = {};
    Words assistant = {};  // the opening words are also the generation prompt
    // Before what is said to the model, once until it answers.
    std::string_view turn = {};
    // Special pieces that are spelled otherwise than <|...|>.
    std::array<std::string_view, 6> pieces = {};
    std::string_view default_system = {};
    bool always_system = false;     // a system message also where nobody wrote one
    bool trim = false;              // no blanks around what people say
    bool trim_answers = false;      // nor around answers
    bool space = false;             // an answer begins with one space that is no content
    bool forget_reasoning = false;  // what answers of the past have before </think> is left out
    std::array<std::string_view, 2> stops = {};
    std::array<std::string_view, 3> stop_pieces = {};
};

// Grok-1 is a base model without a format of its own: a transcript is what it continues best, and
// what it must be stopped at is the next speaker. Grok-2: SGLang's conversation and llama.cpp's
// template agree. The others: the templates of their models (specs: chat_templates); the date of
// Llama 3.1 is the one that its template has when it is given none.
const ChatFormat::Style ChatFormat::kStyles[] = {
    {.name = "grok-1",
     .system = {"", "\n\n"},
     .user = {"Human: ", "\n\n"},
     .assistant = {"Assistant:", "\n\n"},
     .trim = true,
     .space = true,
     .stops = {"\n\nHuman:", "\nHuman:"}},
    {.name = "grok-2",
     .system = {"System: ", "<|separator|>\n\n"},
     .user = {"Human: ", "<|separator|>\n\n"},
     .assistant = {"Assistant:", "<|separator|>\n\n"},
     .trim = true,
     .space = true,
     .stop_pieces = {"<|separator|>", "<|eos|>"}},
    {.name = "chatml",
     .system = kMlSystem,
     .user = kMlUser,
     .assistant = kMlAssistant,
     .stop_pieces = kMlEnds},
    {.name = "qwen2",
     .system = kMlSystem,
     .user = kMlUser,
     .assistant = kMlAssistant,
     .default_system = "You are a helpful assistant.",
     .always_system = true,
     .stop_pieces = kMlEnds},
    {.name = "qwen2.5",
     .system = kMlSystem,
     .user = kMlUser,
     .assistant = kMlAssistant,
     .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     .always_system = true,
     .stop_pieces = kMlEnds},
    {.name = "qwen3",
     .system = kMlSystem,
     .user = kMlUser,
     .assistant = kMlAssistant,
     .forget_reasoning = true,
     .stop_pieces = kMlEnds},
    {.name = "llama-2",
     .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     .user = {"", " [/INST]"},
     .assistant = {"", " </s><s>"},
     .turn = "[INST] ",
     .pieces = kMistralPieces,
     .trim = true,
     .trim_answers = true,
     .space = true,
     .stop_pieces = {"</s>"}},
    {.name = "llama-3",
     .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     .user = kLlama3User,
     .assistant = kLlama3Assistant,
     .trim = true,
     .trim_answers = true,
     .stop_pieces = kLlama3Ends},
    {.name = "llama-3.1",
     .system = {"<|start_header_id|>system<|end_header_id|>\n\n"
                "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
                "<|eot_id|>"},
     .user = kLlama3User,
     .assistant = kLlama3Assistant,
     .always_system = true,
     .trim = true,
     .trim_answers = true,
     .stop_pieces = kLlama3Ends},
    {.name = "mistral-v1",
     .system = {"", "\n\n"},
     .user = {"", " [/INST]"},
     .assistant = {"", "</s>"},
     .turn = " [INST] ",
     .pieces = kMistralPieces,
     .space = true,
     .stop_pieces = {"</s>"}},
    {.name = "mistral-v3",
     .system = {"", "\n\n"},
     .user = {"", "[/INST]"},
     .assistant = {"", "</s>"},
     .turn = "[INST] ",
     .pieces = kMistralPieces,
     .trim_answers = true,
     .space = true,
     .stop_pieces = {"</s>"}},
    {.name = "mistral-v7",
     .system = {"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"},
     .user = {"[INST] ", "[/INST]"},
     .assistant = {"", "</s>"},
     .pieces = kMistralPieces,
     .space = true,
     .stop_pieces = {"</s>"}},
    {.name = "mistral-v7-tekken",
     .system = {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"},
     .user = {"[INST]", "[/INST]"},
     .assistant = {"", "</s>"},
     .pieces = kMistralPieces,
     .stop_pieces = {"</s>"}},
};

namespace {

constexpr std::array<std::string_view, 13> kNames{
    "grok-1",     "grok-2",     "chatml",           "qwen2",     "qwen2.5",
    "qwen3",      "llama-2",    "llama-3",          "llama-3.1", "mistral-v1",
    "mistral-v3", "mistral-v7", "mistral-v7-tekken"};

// As the templates' trim for ASCII.
std::string_view trim(std::string_view text) {
    constexpr std::string_view kBlank = " \t\n\r\f\v";
    const size_t begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// The id of a special piece; nothing where a vocabulary spells it with ordinary pieces.
std::optional<TokenId> special_piece(const Tokenizer& tokenizer, std::string_view piece) {
    const auto id = tokenizer.find_piece(piece);
    if (!id) return std::nullopt;
    const PieceKind kind = tokenizer.kind(*id);
    if (kind != PieceKind::control && kind != PieceKind::user_defined) return std::nullopt;
    return id;
}

std::string decode(const Tokenizer& tokenizer, std::span<const TokenId> ids,
                   std::vector<std::string> stops, bool strip_space) {
    Detokenizer detokenizer(tokenizer, std::move(stops), strip_space);
    std::string text;
    for (const TokenId id : ids)
        text += detokenizer.push(id);
    return text + detokenizer.finish();
}

// An answer as ids, as far as they spell its text, and the text that they do not.
struct Answer {
    std::vector<TokenId> ids;
    std::string rest;
};

void drop_silent_end(const Tokenizer& tokenizer, std::vector<TokenId>& ids) {
    while (!ids.empty() && tokenizer.bytes(ids.back()).empty())
        ids.pop_back();
}

Answer split_answer(const Tokenizer& tokenizer, const chat::Message& message,
                    const std::vector<std::string>& stops, bool space) {
    std::string text = message.text;
    if (text.empty()) text = decode(tokenizer, message.tokens, stops, space);

    std::vector<TokenId> ids = message.tokens;
    drop_silent_end(tokenizer, ids);
    const std::string whole = decode(tokenizer, ids, {}, false);
    // The client does not see the space that the model put after "Assistant:".
    if (space && whole.starts_with(' ')) text.insert(0, 1, ' ');
    if (whole == text) return {.ids = std::move(ids), .rest = {}};

    std::string_view rest = text;
    size_t kept = 0;
    for (; kept < ids.size() && rest.starts_with(tokenizer.bytes(ids[kept])); ++kept)
        rest.remove_prefix(tokenizer.bytes(ids[kept]).size());
    ids.resize(kept);
    drop_silent_end(tokenizer, ids);
    if (ids.empty()) return {.ids = {}, .rest = message.text};
    return {.ids = std::move(ids), .rest = std::string(rest)};
}

void add_text(std::vector<TextSpan>& spans, std::string_view text, bool specials = false) {
    if (!text.empty()) spans.push_back({.text = std::string(text), .specials = specials});
}

std::vector<std::string> strings(std::span<const std::string_view> views) {
    std::vector<std::string> out;
    for (const std::string_view view : views)
        if (!view.empty()) out.emplace_back(view);
    return out;
}

// Words of a format: their special pieces become ids, the rest is text.
void add_words(const Tokenizer& tokenizer, std::span<const std::string_view> pieces,
               std::string_view words, std::vector<TextSpan>& spans) {
    while (!words.empty()) {
        size_t at = words.size();
        std::optional<TokenId> id;
        std::string_view found;
        for (const std::string_view piece : pieces) {
            const size_t place = piece.empty() ? std::string_view::npos : words.find(piece);
            if (place >= at) continue;
            if (const auto known = special_piece(tokenizer, piece)) {
                at = place;
                id = known;
                found = piece;
            }
        }
        add_text(spans, words.substr(0, at), true);
        if (id) spans.push_back({.text = {}, .specials = false, .tokens = {*id}});
        words.remove_prefix(at + found.size());
    }
}

// An answer of the past as a model that reasons gets it back.
std::string without_reasoning(std::string_view text) {
    constexpr std::string_view kEnd = "</think>";
    const size_t end = text.rfind(kEnd);
    if (end != std::string_view::npos) {
        text.remove_prefix(end + kEnd.size());
        text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    }
    return std::string(text);
}

}  // namespace

ChatFormat ChatFormat::named(std::string_view name) {
    for (const Style& style : kStyles)
        if (style.name == name) return ChatFormat(style);
    std::string known;
    for (const std::string_view each : kNames)
        known += (known.empty() ? "" : ", ") + std::string(each);
    throw Error(ErrorKind::usage, "chat format " + std::string(name), "is not known",
                "use one of " + known);
}

// llama.cpp's way: by what only one template has (specs: chat_templates, section 3).
ChatFormat ChatFormat::detect(const WeightFile& file, const Tokenizer& tokenizer) {
    const std::string source = file.meta_string("tokenizer.chat_template").value_or("");
    const auto has = [&](std::string_view text) { return source.find(text) != std::string::npos; };
    if (has("<|im_start|>")) {
        if (has("</think>")) return named("qwen3");
        if (has("You are Qwen, created by Alibaba Cloud.")) return named("qwen2.5");
        return named(has("You are a helpful assistant") ? "qwen2" : "chatml");
    }
    if (has("[INST]")) {
        if (has("<<SYS>>")) return named("llama-2");
        if (has("[SYSTEM_PROMPT]"))
            return named(has("[SYSTEM_PROMPT] ") ? "mistral-v7" : "mistral-v7-tekken");
        return named(has("[AVAILABLE_TOOLS]") && !has(" [INST]") ? "mistral-v3" : "mistral-v1");
    }
    if (has("<|start_header_id|>"))
        return named(has("Cutting Knowledge Date") ? "llama-3.1" : "llama-3");
    if (has("Assistant:") && has("<|separator|>")) return named("grok-2");
    // Without a template the vocabulary tells. Grok-1 has the separator too, but as an ordinary
    // piece (user-defined) that it does not answer with.
    const auto has_control = [&](std::string_view piece) {
        const auto id = tokenizer.find_piece(piece);
        return id && tokenizer.kind(*id) == PieceKind::control;
    };
    if (has_control("<|im_start|>")) return named("chatml");
    if (has_control("<|start_header_id|>")) return named("llama-3");
    if (has_control("<|separator|>")) return named("grok-2");
    return named("grok-1");
}

std::string_view ChatFormat::name() const {
    return style_->name;
}

void ChatFormat::add_words(const Writing& writing, std::string_view words) const {
    core::add_words(writing.tokenizer, style_->pieces, words, writing.spans);
}

void ChatFormat::add_answer(const Writing& writing, const chat::Message& message, bool past) const {
    Answer answer{.ids = {}, .rest = message.text};
    if (!message.tokens.empty())
        answer = split_answer(writing.tokenizer, message, strings(style_->stops), style_->space);
    if (past && style_->forget_reasoning) {
        const std::string whole = decode(writing.tokenizer, answer.ids, {}, false) + answer.rest;
        if (whole.find("</think>") != std::string::npos)
            answer = {.ids = {}, .rest = without_reasoning(whole)};
    }
    if (past && style_->trim_answers && answer.ids.empty())
        answer.rest = std::string(trim(answer.rest));
    if (!answer.ids.empty())
        writing.spans.push_back({.text = {}, .specials = false, .tokens = std::move(answer.ids)});
    else if (style_->space)
        add_text(writing.spans, " ");
    add_text(writing.spans, answer.rest);
}

// What begins before a message: the turn, and a system message that nobody wrote.
void ChatFormat::begin_message(const Writing& writing, std::optional<chat::Role> before,
                               chat::Role role) const {
    if (!before && role != chat::Role::system && style_->always_system) {
        add_words(writing, style_->system.open);
        add_text(writing.spans, style_->default_system);
        add_words(writing, style_->system.close);
    }
    const bool answers = role == chat::Role::assistant;
    if (answers || (before && before != chat::Role::assistant)) return;
    // A dummy prefix is the space already.
    const bool spaced = !before && writing.tokenizer.dummy_prefix();
    add_words(writing, style_->turn.substr(spaced && style_->turn.starts_with(' ') ? 1 : 0));
}

void ChatFormat::add_message(const Writing& writing, std::optional<chat::Role> before,
                             const chat::Message& message, bool partial) const {
    begin_message(writing, before, message.role);
    if (message.role == chat::Role::assistant) {
        add_words(writing, style_->assistant.open);
        add_answer(writing, message, !partial);
        if (!partial) add_words(writing, style_->assistant.close);
        return;
    }
    const Words& words = message.role == chat::Role::system ? style_->system : style_->user;
    add_words(writing, words.open);
    add_text(writing.spans, style_->trim ? trim(message.text) : message.text);
    add_words(writing, words.close);
}

RenderedChat ChatFormat::render(const Tokenizer& tokenizer,
                                std::span<const chat::Message> messages) const {
    RenderedChat chat{.spans = {},
                      .stops = strings(style_->stops),
                      .stop_pieces = strings(style_->stop_pieces),
                      .strip_space = style_->space};
    // An answer that has not begun is the same as none.
    if (!messages.empty() && messages.back().role == chat::Role::assistant &&
        messages.back().text.empty() && messages.back().tokens.empty())
        messages = messages.first(messages.size() - 1);
    const Writing writing{tokenizer, chat.spans};
    std::optional<chat::Role> before;
    for (const chat::Message& message : messages) {
        const bool partial = &message == &messages.back() && message.role == chat::Role::assistant;
        add_message(writing, before, message, partial);
        before = message.role;
        if (!partial) continue;
        chat.strip_space = false;
        return chat;
    }
    add_words(writing, style_->assistant.open);
    return chat;
}

Prompt ChatFormat::prompt(const Tokenizer& tokenizer,
                          std::span<const chat::Message> messages) const {
    RenderedChat chat = render(tokenizer, messages);
    Prompt prompt{.ids = {},
                  .stop_ids = tokenizer.end_of_generation(),
                  .stops = std::move(chat.stops),
                  .strip_space = chat.strip_space};
    if (tokenizer.add_bos()) prompt.ids.push_back(*tokenizer.bos());
    const std::vector<TokenId> ids = tokenizer.encode(chat.spans);
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
    for (std::string& piece : chat.stop_pieces) {
        if (const auto id = special_piece(tokenizer, piece)) {
            if (std::find(prompt.stop_ids.begin(), prompt.stop_ids.end(), *id) ==
                prompt.stop_ids.end())
                prompt.stop_ids.push_back(*id);
        } else {
            prompt.stops.push_back(std::move(piece));
        }
    }
    return prompt;
}

std::vector<uint32_t> ChatFormat::count(const Tokenizer& tokenizer,
                                        std::span<const chat::Message> messages) const {
    std::vector<uint32_t> counts;
    counts.reserve(messages.size());
    std::optional<chat::Role> before;
    for (const chat::Message& message : messages) {
        // Any id in front says that this is not where the text begins: no dummy prefix.
        std::vector<TextSpan> spans;
        const bool first = counts.empty();
        if (!first) spans.push_back({.text = {}, .specials = false, .tokens = {0}});
        add_message({tokenizer, spans}, before, message, false);
        before = message.role;
        counts.push_back(static_cast<uint32_t>(tokenizer.encode(spans).size() - (first ? 0 : 1)));
    }
    return counts;
}

Prompt raw_prompt(const Tokenizer& tokenizer, std::string_view text) {
    Prompt prompt{
        .ids = {}, .stop_ids = tokenizer.end_of_generation(), .stops = {}, .strip_space = false};
    if (tokenizer.add_bos()) prompt.ids.push_back(*tokenizer.bos());
    const std::vector<TokenId> ids = tokenizer.encode(text, false);
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
    return prompt;
}

std::span<const std::string_view> chat_format_names() {
    return kNames;
}

}  // namespace core
