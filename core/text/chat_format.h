// Conversations as text of a model family: the built-in formats of Grok-1 and Grok-2.
// (Jinja templates join later behind the same function; see docs/architecture.md.)
#pragma once

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

class ChatFormat {
  public:
    // "grok-1" (transcript of ours, `Human: ...\n\nAssistant:`) or "grok-2". Error(usage)
    // otherwise.
    static ChatFormat named(std::string_view name);
    // The user's choice, else what the file's template or vocabulary says, else the family's own.
    static ChatFormat detect(const WeightFile& file, const Tokenizer& tokenizer);

    std::string_view name() const { return name_; }
    // Text from messages keeps `specials` off. The last message may be a partial answer of the
    // assistant to be continued; otherwise the generation prompt follows.
    // Throws Error(usage) for a role that the format has no place for.
    RenderedChat render(std::span<const chat::Message> messages) const;

  private:
    explicit ChatFormat(std::string_view name) : name_(name) {}
    std::string_view name_;
};

// Names accepted by named(), for help texts.
std::span<const std::string_view> chat_format_names();

}  // namespace core
