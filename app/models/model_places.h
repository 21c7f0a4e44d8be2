// Where models may be on this machine: folders of the configuration, and those where other programs
// keep theirs. Reads folders and Ollama's manifests only; never the network, never writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/settings/config.h"

namespace app {

enum class PlaceKind : uint8_t { folder, hugging_face, ollama };

struct ModelPlace {
    std::string folder;
    std::string label;  // "LM Studio"; empty: the folder itself
    PlaceKind kind = PlaceKind::folder;
    uint32_t depth = 4;  // levels of folders below it
};

// In the order of preference. `variables` as getenv() gives them: null where unset.
std::vector<ModelPlace> model_places(const Config& config,
                                     const char* (*variable)(const char* name));
const char* environment_variable(const char* name);

struct ModelCandidate {
    std::string path;
    std::string name;  // other than that of the file; Ollama's files have none
    std::string label;
};

// What may be a model: of several parts the first, no projectors (mmproj*), every file once,
// whatever links lead to it.
std::vector<ModelCandidate> find_candidates(const std::vector<ModelPlace>& places);

// The model that is used when nobody chooses one: $MOXIE_MODEL, else the first *.gguf by name in
// the folders given. Empty: there is none.
std::string find_default_model(const std::vector<std::string>& folders);
// models/ of the source tree, and ../models and ../share/moxie beside the executable.
std::vector<std::string> model_folders();

}  // namespace app
