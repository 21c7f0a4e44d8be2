// Conversations as text of a model family: the built-in formats of Grok, Qwen (ChatML), Llama and
// Mistral. A template of the file decides between them and is not run.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat/protocol.h"
#include "core/text/tokenizer.h"

namespace core {

struct RenderedChat {
    std::vector<TextSpan> spans;
    std::vector<std::string> stops;        // stop strings that the format needs
    std::vector<std::string> stop_pieces;  // special pieces that end a turn ("<|separator|>")
    bool strip_space = false;              // answers begin with one space that is not content
};

// What the engine needs to answer a prompt.
struct Prompt {
    std::vector<TokenId> ids;        // with BOS where the vocabulary asks for it
    std::vector<TokenId> stop_ids;   // each ends the answer and is not part of it
    std::vector<std::string> stops;  // for the Detokenizer, besides the user's own
    bool strip_space = false;        // for the Detokenizer
};

class ChatFormat {
  public:
    // One of chat_format_names(); "grok-1" is a transcript of ours, `Human: ...\n\nAssistant:`.
    // Error(usage) otherwise.
    static ChatFormat named(std::string_view name);
    // What the file's template or vocabulary says, else "grok-1". A choice of the user goes through
    // named() instead.
    static ChatFormat detect(const WeightFile& file, const Tokenizer& tokenizer);

    std::string_view name() const;

    // Text from messages keeps `specials` off. The last message may be a partial answer of the
    // assistant to be continued; otherwise the generation prompt follows.
    //
    // A message with ids keeps them as far as they spell its text (an answer that a stop string
    // ended has ids beyond it, an edited one has other ids); the rest of the text is tokenized
    // anew. Ids at its end that stand for no text, such as the one that ended it, are left out,
    // and the format puts its own end there.
    RenderedChat render(const Tokenizer& tokenizer, std::span<const chat::Message> messages) const;

    // The same as token ids. The past of a conversation that grows keeps its ids: the prompt of a
    // later turn begins with the prompt and the answer's ids of the turn before.
    Prompt prompt(const Tokenizer& tokenizer, std::span<const chat::Message> messages) const;

    // Tokens that each message takes, with what the format puts around it; without BOS and the
    // generation prompt.
    std::vector<uint32_t> count(const Tokenizer& tokenizer,
                                std::span<const chat::Message> messages) const;

  private:
    struct Style;
    static const Style kStyles[];
    // Where a conversation is written to.
    struct Writing {
        const Tokenizer& tokenizer;
        std::vector<TextSpan>& spans;
    };

    void add_words(const Writing& writing, std::string_view words) const;
    void add_answer(const Writing& writing, const chat::Message& message, bool past) const;
    void begin_message(const Writing& writing, std::optional<chat::Role> before,
                       chat::Role role) const;
    void add_message(const Writing& writing, std::optional<chat::Role> before,
                     const chat::Message& message, bool partial) const;

    explicit ChatFormat(const Style& style) : style_(&style) {}
    const Style* style_;
};

// A text to be continued as it stands, without a format.
Prompt raw_prompt(const Tokenizer& tokenizer, std::string_view text);

// Names accepted by named(), for help texts.
std::span<const std::string_view> chat_format_names();

}  // namespace core
