#include "core/text/chat_format.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/error.h"
#include "core/text/detokenizer.h"

namespace core {

// A format as data: each message is its role's words, its text, the end piece and the gap.
struct ChatFormat::Style {
    std::string_view name;
    std::string_view system;
    std::string_view user;
    std::string_view assistant;  // also the generation prompt; one space separates the answer
    std::string_view end_piece;  // may be empty
    std::string_view gap;
    std::array<std::string_view, 2> stops;
    std::array<std::string_view, 2> stop_pieces;
};

// Grok-1 is a base model without a format of its own: a transcript is what it continues best, and
// what it must be stopped at is the next speaker. Grok-2: SGLang's conversation and llama.cpp's
// template agree (specs: grok2, section 7).
const ChatFormat::Style ChatFormat::kStyles[] = {
    {.name = "grok-1",
     .system = "",
     .user = "Human: ",
     .assistant = "Assistant:",
     .end_piece = "",
     .gap = "\n\n",
     .stops = {"\n\nHuman:", "\nHuman:"},
     .stop_pieces = {}},
    {.name = "grok-2",
     .system = "System: ",
     .user = "Human: ",
     .assistant = "Assistant:",
     .end_piece = "<|separator|>",
     .gap = "\n\n",
     .stops = {},
     .stop_pieces = {"<|separator|>", "<|eos|>"}},
};

namespace {

constexpr std::array<std::string_view, 2> kNames{"grok-1", "grok-2"};

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
                    const std::vector<std::string>& stops) {
    std::string text = message.text;
    if (text.empty()) text = decode(tokenizer, message.tokens, stops, true);

    std::vector<TokenId> ids = message.tokens;
    drop_silent_end(tokenizer, ids);
    const std::string whole = decode(tokenizer, ids, {}, false);
    // The client does not see the space that the model put after "Assistant:".
    if (whole.starts_with(' ')) text.insert(0, 1, ' ');
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

void add_answer(const Tokenizer& tokenizer, const chat::Message& message,
                const std::vector<std::string>& stops, std::vector<TextSpan>& spans) {
    Answer answer{.ids = {}, .rest = message.text};
    if (!message.tokens.empty()) answer = split_answer(tokenizer, message, stops);
    if (answer.ids.empty())
        add_text(spans, " ");
    else
        spans.push_back({.text = {}, .specials = false, .tokens = std::move(answer.ids)});
    add_text(spans, answer.rest);
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

ChatFormat ChatFormat::detect(const WeightFile& file, const Tokenizer& tokenizer) {
    const std::string source = file.meta_string("tokenizer.chat_template").value_or("");
    const auto has = [&](std::string_view text) { return source.find(text) != std::string::npos; };
    if (has("Assistant:") && has("<|separator|>")) return named("grok-2");
    // Grok-1 has the piece too, but as an ordinary one (user-defined) that it does not answer with.
    const auto separator = tokenizer.find_piece("<|separator|>");
    if (separator && tokenizer.kind(*separator) == PieceKind::control) return named("grok-2");
    return named("grok-1");
}

std::string_view ChatFormat::name() const {
    return style_->name;
}

// What a message begins with and what it says, without its end.
void ChatFormat::open_message(const Tokenizer& tokenizer, const chat::Message& message,
                              std::vector<TextSpan>& spans) const {
    switch (message.role) {
        case chat::Role::system:
            add_text(spans, style_->system);
            add_text(spans, trim(message.text));
            break;
        case chat::Role::user:
            add_text(spans, style_->user);
            add_text(spans, trim(message.text));
            break;
        case chat::Role::assistant:
            add_text(spans, style_->assistant);
            add_answer(tokenizer, message, strings(style_->stops), spans);
            break;
    }
}

void ChatFormat::close_message(std::vector<TextSpan>& spans) const {
    add_text(spans, style_->end_piece, true);
    add_text(spans, style_->gap);
}

RenderedChat ChatFormat::render(const Tokenizer& tokenizer,
                                std::span<const chat::Message> messages) const {
    RenderedChat chat{.spans = {},
                      .stops = strings(style_->stops),
                      .stop_pieces = strings(style_->stop_pieces),
                      .strip_space = true};
    // An answer that has not begun is the same as none.
    if (!messages.empty() && messages.back().role == chat::Role::assistant &&
        messages.back().text.empty() && messages.back().tokens.empty())
        messages = messages.first(messages.size() - 1);
    for (const chat::Message& message : messages) {
        open_message(tokenizer, message, chat.spans);
        if (&message == &messages.back() && message.role == chat::Role::assistant) {
            chat.strip_space = false;
            return chat;
        }
        close_message(chat.spans);
    }
    add_text(chat.spans, style_->assistant);
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
    for (const chat::Message& message : messages) {
        // Any id in front says that this is not where the text begins: no dummy prefix.
        std::vector<TextSpan> spans;
        const bool first = counts.empty();
        if (!first) spans.push_back({.text = {}, .specials = false, .tokens = {0}});
        open_message(tokenizer, message, spans);
        close_message(spans);
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
