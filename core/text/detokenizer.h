// Streams tokens as text: bytes are held back until code points are whole and no stop string can
// still match. The concatenation of all text equals decoding at once, however it is split.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"

namespace core {

class Detokenizer {
  public:
    // `stops` end the answer where the earliest of them begins; neither their text nor what follows
    // is given out. Empty ones are ignored.
    // `strip_space` drops one leading space of the output (dummy prefix; Grok-2's "Assistant: ").
    Detokenizer(const Tokenizer& tokenizer, std::vector<std::string> stops, bool strip_space);

    // Text that is final after this token; may be empty. Always whole UTF-8 code points; bytes that
    // are no UTF-8 become U+FFFD. Nothing more comes once stopped() is true.
    std::string push(TokenId token);
    // What was held back; ends the stream.
    std::string finish();
    bool stopped() const { return stopped_; }

  private:
    void accept(bool all);
    std::string release(bool all);

    const Tokenizer* tokenizer_;
    std::vector<std::string> stops_;
    std::string bytes_;    // the beginning of a code point
    std::string pending_;  // text that may be the beginning of a stop string
    bool strip_space_;
    bool started_ = false;
    bool stopped_ = false;
};

}  // namespace core
