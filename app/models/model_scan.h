// The models of this machine, found and read on a thread of its own, remembered between runs by
// path, size and time (models.idx in the cache folder; deleting it costs time and nothing else).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "app/models/model_header.h"
#include "app/models/model_places.h"

namespace app {

class ModelScan {
  public:
    // Starts the thread. Without an index file everything is read anew.
    ModelScan(std::vector<ModelPlace> places, std::string index_file);
    // Waits for the file that is being read.
    ~ModelScan();
    ModelScan(const ModelScan&) = delete;
    ModelScan& operator=(const ModelScan&) = delete;

    // Client thread. Whether it has finished, at the latest after that time.
    bool wait(std::chrono::milliseconds budget) const;
    bool finished() const;
    // What is known by now, those that can be run first, then by name.
    std::vector<ModelHeader> models() const;
    // Polls readable from its end to acknowledge().
    int event_fd() const;
    void acknowledge();

  private:
    struct Shared;
    std::unique_ptr<Shared> shared_;
};

// $XDG_CACHE_HOME/moxie/models.idx, its folder made; empty where that cannot be.
std::string model_index_file();

// Whether the text can only be meant as a path: it has a slash, ends with .gguf or is there.
bool is_model_path(const std::string& wanted);

// Those whose names fit best: the same name, else the only one that begins with it, whatever the
// case. Null: none, or several.
const ModelHeader* find_model(const std::vector<ModelHeader>& models, const std::string& wanted);

// `No model "grok2". Closest: grok-2-q4_k (LM Studio). C-x m lists 7 found; /model PATH loads a
// file.`
std::string no_such_model(const std::vector<ModelHeader>& models, const std::string& wanted);

}  // namespace app
