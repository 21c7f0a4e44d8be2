// Answers of a model that is still a checkpoint, to judge a training run by. Slow: no cache, one
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/train/grok_model.h"
#include "app/train/text_codec.h"

namespace train {

struct SampleOptions {
    double temperature = 0.7;  // 0 takes the likeliest token
    double top_p = 0.9;
    uint32_t max_tokens = 120;
    uint64_t seed = 1;
};

struct Answer {
    std::string text;
    bool stopped = false;  // by itself, at the end of the turn
};

// Ids of " Human: ...<|separator|>\n\nAssistant:" for a chat; `turns` begin and end with the user.
std::vector<int64_t> chat_prompt(const TextCodec& codec, const std::vector<std::string>& turns);

Answer sample_answer(const GrokModel& model, const TextCodec& codec, std::vector<int64_t> prompt,
                     const SampleOptions& options);

}  // namespace train
