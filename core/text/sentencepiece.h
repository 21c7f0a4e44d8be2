// A tokenizer over a checked SentencePiece BPE vocabulary. Its source is the only file that uses
// the SentencePiece library, which does the merges and the fallback to bytes; the rest is
// piece_tokenizer.h's, because the library knows neither where a text comes from nor that a
// conversation is one text.
#pragma once

#include <memory>
#include <string>

#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"

namespace core {

// `object` names the file in messages. Throws Error(model_unusable) when the library refuses the
// vocabulary. REQUIRES: check_vocabulary has passed it.
std::unique_ptr<Tokenizer> make_sentencepiece(Vocabulary vocabulary, const std::string& object);

}  // namespace core
