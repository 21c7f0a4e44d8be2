#include "core/formats/mapped_weights.h"

#include <algorithm>

namespace core {

bool MappedWeights::damaged() const {
    return std::ranges::any_of(files_, [](const auto& file) { return file->damaged(); });
}

void MappedWeights::release(std::span<const std::byte> bytes) const {
    // Addresses of different mappings have an order through std::less only.
    const std::less_equal<const std::byte*> not_after;
    for (const auto& file : files_) {
        const auto whole = file->bytes();
        if (not_after(whole.data(), bytes.data()) &&
            not_after(bytes.data() + bytes.size(), whole.data() + whole.size()))
            return file->release(bytes);
    }
}

const TensorInfo* MappedWeights::find_tensor(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

void MappedWeights::add_tensor(TensorInfo tensor) {
    by_name_.emplace(tensor.name, tensors_.size());
    tensors_.push_back(std::move(tensor));
}

void MappedWeights::keep(std::unique_ptr<MappedFile> file) {
    bytes_ += file->bytes().size();
    files_.push_back(std::move(file));
}

}  // namespace core
