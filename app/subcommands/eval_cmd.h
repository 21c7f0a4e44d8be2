// `moxie eval`: what a model computes, without sampling, for comparisons with other engines and
// for measuring what a quantization costs.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "core/base/token_id.h"

namespace app {

// How the model runs; the same for every kind of evaluation.
struct EvalEngineOptions {
    std::string model;     // path of a weight file
    unsigned threads = 0;  // 0 = physical cores
    uint32_t chunk = 0;    // tokens of one pass; 0 = all for logits, 256 for perplexity
    std::string isa;       // "" = the best tier
    std::string kv = "f32";
};

struct EvalLogitsOptions {
    EvalEngineOptions engine;
    std::vector<core::TokenId> tokens;
    bool all = false;  // rows of all tokens, otherwise of the last one
    std::string out;   // NPY file to write: float32 [rows, vocab]
};

struct EvalPerplexityOptions {
    EvalEngineOptions engine;
    std::string text;      // path of a text file
    uint32_t context = 0;  // tokens of a window; 0 = the model's context, at most 2048
};

// Both return 0 or throw core::Error; what they print goes to `out`.

// Writes logits of the given token ids, as they are: nothing is prepended. Needs no vocabulary.
int run_eval_logits(const EvalLogitsOptions& options, std::ostream& out);

// Prints tokens, nats per token, perplexity and bits per byte of a text. The text is cut into
// windows that do not overlap; each starts with BOS where the vocabulary asks for it, otherwise
// with a token that is read and not scored.
int run_eval_perplexity(const EvalPerplexityOptions& options, std::ostream& out);

}  // namespace app
