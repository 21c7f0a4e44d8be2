// A tokenizer over a checked byte-level BPE vocabulary (GPT-2, Radford et al. 2019: Qwen, Llama 3,
// Grok-2): text is cut into words by regular expressions, and the bytes of each word are merged by
// rank. Its source is the only file that uses PCRE2.
#pragma once

#include <memory>
#include <string>

#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"

namespace core {

// `object` names the file in messages. Throws Error(model_unusable) for an expression that PCRE2
// refuses; encoding throws it for a text that an expression of the file cannot be matched with in
// bounded time. REQUIRES: check_vocabulary has passed a vocabulary with `byte_level`.
std::unique_ptr<Tokenizer> make_byte_level_bpe(Vocabulary vocabulary, const std::string& object);

}  // namespace core
