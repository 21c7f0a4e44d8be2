// A test model as the engine sees it: written to a file, loaded and ready to run.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/pool.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/kv/sequence.h"
#include "core/model/model.h"
#include "tests/support/tiny_model.h"

namespace support {

// A file in the test's temporary folder, removed when this goes.
class TemporaryGguf {
  public:
    explicit TemporaryGguf(const TestModel& model);
    ~TemporaryGguf();
    TemporaryGguf(const TemporaryGguf&) = delete;
    TemporaryGguf& operator=(const TemporaryGguf&) = delete;

    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// Logits rows [rows][vocab].
using Rows = std::vector<std::vector<float>>;

class LoadedModel {
  public:
    LoadedModel(const TestModel& model, const core::Kernels& kernels, unsigned threads = 1);
    LoadedModel(const core::WeightFile& file, const core::Kernels& kernels, unsigned threads = 1);

    core::Model& model() { return *model_; }
    uint32_t vocab() const { return model_->config().vocab; }
    // Pages for `tokens` tokens in all.
    core::PagePool pages(core::KvType type, uint32_t tokens) const;

    // One pass over all slices; logits of every token of every slice, in slice order.
    Rows forward(std::span<const core::Slice> batch);
    // One pass over one sequence.
    Rows forward(core::Sequence& sequence, std::span<const core::TokenId> tokens);
    // A fresh sequence, `chunk` tokens at a time.
    Rows forward_in_chunks(core::KvType type, std::span<const core::TokenId> tokens, size_t chunk);

  private:
    core::Pool pool_;
    std::unique_ptr<core::Model> model_;
};

}  // namespace support
