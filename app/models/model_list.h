// How models are listed: in `moxie models`, /model and the panel.
#pragma once

#include <string>
#include <vector>

#include "app/models/model_header.h"

namespace app {

// "314B, 86B active"
std::string parameters_text(const ModelHeader& model);
// "fits", or "needs 91.3 GB", with that context (0: the usual one); empty for one that cannot run.
std::string fits_text(const ModelHeader& model, uint32_t context, chat::KvTypeChoice kv,
                      uint64_t available);

// name · arch · params/active · quant · size · fits? · where, in columns; of one that cannot be run
// the reason. One row a model.
std::vector<std::string> model_rows(const std::vector<ModelHeader>& models, uint32_t context,
                                    chat::KvTypeChoice kv, uint64_t available);

// `Needs 91.3 GB, 74.0 GB free. [1] ctx 4096 (−1.3) [2] KV q8 (−1.3) [3] choose another`, and what
// each number stands for.
struct MemoryChoice {
    uint32_t context = 0;
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
    bool other_model = false;
};
struct MemoryQuestion {
    std::string text;
    std::vector<MemoryChoice> choices;
};
MemoryQuestion memory_question(const ModelHeader& model, uint32_t context, chat::KvTypeChoice kv,
                               uint64_t available);

}  // namespace app
