#include "core/formats/mapped_weights.h"

#include <algorithm>

namespace core {

MappedWeights::MappedWeights(std::string path, Metadata metadata)
    : path_(std::move(path)), metadata_(std::move(metadata)) {
    for (size_t i = 0; i < metadata_.size(); ++i)
        by_key_.emplace(metadata_[i].first, i);
}

bool MappedWeights::damaged() const {
    return std::ranges::any_of(files_, [](const auto& file) { return file->damaged(); });
}

const MappedFile* MappedWeights::file_of(std::span<const std::byte> bytes) const {
    // Addresses of different mappings have an order through std::less only.
    const std::less_equal<const std::byte*> not_after;
    const auto found = std::ranges::find_if(files_, [&](const auto& file) {
        const auto whole = file->bytes();
        return not_after(whole.data(), bytes.data()) &&
               not_after(bytes.data() + bytes.size(), whole.data() + whole.size());
    });
    return found == files_.end() ? nullptr : found->get();
}

void MappedWeights::release(std::span<const std::byte> bytes) const {
    if (const MappedFile* file = file_of(bytes)) file->release(bytes);
}

void MappedWeights::prefetch(std::span<const std::byte> bytes) const {
    if (const MappedFile* file = file_of(bytes)) file->prefetch(bytes);
}

const TensorInfo* MappedWeights::find_tensor(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const MetaValue* MappedWeights::find_meta(std::string_view key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &metadata_[found->second].second;
}

void MappedWeights::add_metadata(std::string key, MetaValue value) {
    by_key_.emplace(key, metadata_.size());
    metadata_.emplace_back(std::move(key), std::move(value));
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
