// What the header of a weight file says about its model: enough for a list, and for knowing before
// a load whether it will fit. No weight is read.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/chat/protocol.h"

namespace app {

struct ModelHeader {
    std::string name = {};   // of the file, without its ending and its number of a part
    std::string title = {};  // that its metadata give it
    std::string path = {};
    std::string place = {};  // "LM Studio", "Ollama", or a folder
    std::string architecture = {};
    std::string quantization = {};  // the type that most parameters have
    uint64_t parameters = 0;
    uint64_t active = 0;  // used for one token
    uint64_t weight_bytes = 0;
    uint32_t context = 0;      // that the model was made for
    uint64_t kv_elements = 0;  // of one position
    std::string problem = {};  // why it cannot be run; empty: it can
};

// "grok-2-q4_k" of "/models/grok-2-Q4_K-00001-of-00017.gguf"
std::string model_name_of(const std::string& path);

// Never throws: what is wrong becomes `problem`. Of an unknown architecture the rest is known.
ModelHeader read_model_header(const std::string& path);

// What a load takes: weights, cache of a full context, and what the engine needs beside them.
struct MemoryNeed {
    uint64_t weights = 0;
    uint64_t kv = 0;
    uint64_t scratch = 0;
    uint64_t total() const { return weights + kv + scratch; }
};
MemoryNeed memory_need(const ModelHeader& model, uint32_t context, chat::KvTypeChoice kv);

// The context that a load without a wish gets where there is room: at most 8192.
uint32_t usual_context(const ModelHeader& model);

}  // namespace app
