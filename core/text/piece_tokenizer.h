// The tokenizer over a checked vocabulary: spans, special and user-defined pieces, exact ids and
// the way back to bytes are the same for every kind. What differs is how plain text is merged.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"

namespace core {

// Text without special and user-defined pieces to ids. Any thread.
class Merger {
  public:
    virtual ~Merger() = default;

    // Text as its pieces are spelled: valid UTF-8, escaped or normalized where the kind does that.
    virtual std::string write(std::string_view text) const = 0;
    // Appends the ids of written text, which is not empty.
    virtual void encode(std::string_view text, std::vector<TokenId>& ids) const = 0;
};

// REQUIRES: check_vocabulary has passed the vocabulary, and `merger` was made from it.
std::unique_ptr<Tokenizer> make_piece_tokenizer(Vocabulary vocabulary,
                                                std::unique_ptr<Merger> merger);

}  // namespace core
