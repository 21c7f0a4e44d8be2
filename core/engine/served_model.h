// A loaded model with everything that answering takes: vocabulary, chat format, pages.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/chat/protocol.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/model/model.h"
#include "core/text/chat_format.h"
#include "core/text/tokenizer.h"

namespace core {

// As Model::forward. A function, so that tests of the scheduler run without weights.
using ForwardFunction =
    std::function<std::vector<bool>(std::span<const Slice> batch, std::vector<float>& logits)>;

struct ServedModel {
    std::unique_ptr<Model> model;  // null in tests of the scheduler
    std::unique_ptr<Tokenizer> tokenizer;
    ChatFormat format;
    std::unique_ptr<PagePool> pages;
    ForwardFunction forward;
    Hash128 identity = {};  // core/model/identity.h; what its pages are named by
    uint32_t vocab = 0;
    uint32_t context = 0;       // positions that fit
    uint64_t kv_budget = 0;     // bytes that the pages may take
    uint64_t weight_bytes = 0;  // held
    uint64_t decode_bytes = 0;  // read per token
};

struct LoadEnvironment {
    const Kernels* kernels = nullptr;
    Pool* pool = nullptr;
    LoadProgress progress;
    // The model in use: what its going would free, and the way to let it go. It goes only when the
    // new one does not fit beside it, and after everything that is cheap to check has been checked.
    uint64_t reclaimable_bytes = 0;
    std::function<void()> make_room = {};
    // There is a disk whose pages will come back: their memory is got ready beside the load.
    bool will_restore = false;
};

// Opens, checks against the memory at hand and loads. `ready` gets everything but id and seconds.
// Throws Error as Model::load does; Error(memory) before reading weights when they and the KV cache
// do not fit, Error(model_unusable) when the file has no vocabulary.
ServedModel load_served_model(const chat::LoadModel& request, const LoadEnvironment& environment,
                              chat::ModelReady& ready);

}  // namespace core
