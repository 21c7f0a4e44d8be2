// Writes a trained model as GGUF v3 with architecture `grok`, ready for moxie: matrices in Q8_0,
// router and norms in F32, the vocabulary and the chat format of Grok-2.
#pragma once

#include <string>

#include "app/train/grok_model.h"
#include "core/text/vocabulary.h"

namespace train {

struct ExportOptions {
    std::string path;
    std::string name = "moxie-1";
    uint32_t context_length =
        1024;  // RoPE is trained on the windows only; longer is a promise of the maker
};

// REQUIRES: the vocabulary has as many pieces as the model. Throws core::Error when the disk fails
// and std::runtime_error when the sizes differ.
void export_gguf(const GrokModel& model, const core::Vocabulary& vocabulary,
                 const ExportOptions& options);

}  // namespace train
