#include "core/model/convert.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/formats/gguf_writer.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

// Of a batch of rows, as they are read and as they are written: the larger of the two. Two of them
// are in memory, one that is converted and one that is written, and the source of a third is on its
// way from the disk.
constexpr uint64_t kBatchBytes = uint64_t{64} << 20;
// Rows of a task: fewer would cost a transposing reader whole cache lines for a part of each.
constexpr uint64_t kTaskRows = 128;

// Rows of a tensor that are converted together.
struct Batch {
    const ConvertedTensor* tensor = nullptr;
    uint64_t first = 0;
    uint64_t rows = 0;

    bool ends_tensor() const { return first + rows == tensor->source->rows(); }
};

std::vector<Batch> cut_into_batches(const ConvertPlan& plan) {
    std::vector<Batch> batches;
    for (const ConvertedTensor& tensor : plan.tensors) {
        const uint64_t rows = tensor.source->rows();
        const uint64_t row_bytes = std::max(tensor.source->bytes(), tensor.bytes) / rows;
        const uint64_t at_once =
            std::max<uint64_t>(kBatchBytes / std::max<uint64_t>(row_bytes, 1), kTaskRows);
        for (uint64_t first = 0; first < rows; first += at_once)
            batches.push_back({&tensor, first, std::min(at_once, rows - first)});
    }
    return batches;
}

// A batch as it is written.
struct Converted {
    std::vector<std::byte> values;
    std::vector<std::byte> scales;  // I8C
};

// The conversion of the rows of one batch on all threads.
class RowConverter {
  public:
    RowConverter(const WeightFile& file, const Batch& batch, Converted& out)
        : file_(file),
          batch_(batch),
          tensor_(*batch.tensor),
          out_(out),
          cols_(tensor_.source->dim(0)) {
        const uint64_t rows = tensor_.source->rows();
        in_bytes_ = tensor_.source->value_bytes() / rows;
        in_scales_ = tensor_.source->scale_bytes() / rows;
        out_bytes_ = traits(tensor_.type).bytes * (cols_ / traits(tensor_.type).block);
        out_scales_ = 2 * tensor_.scale_groups;
        out_.values.resize(batch.rows * out_bytes_);
        out_.scales.resize(batch.rows * out_scales_);
    }

    void run(Pool& pool, const CancelFlag* cancel) {
        scratch_.resize(pool.size());
        pool.run((batch_.rows + kTaskRows - 1) / kTaskRows, [&](size_t task, unsigned worker) {
            // Relaxed: nothing is published with the flag.
            if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
            const uint64_t begin = task * kTaskRows;
            convert_rows(scratch_[worker], begin, std::min(kTaskRows, batch_.rows - begin));
        });
    }

  private:
    struct Scratch {
        std::vector<std::byte> values;
        std::vector<std::byte> scales;
        std::vector<float> row;
    };

    // From row `begin` of the batch on.
    void convert_rows(Scratch& scratch, uint64_t begin, uint64_t rows) {
        const uint64_t first = batch_.first + begin;
        const auto out = std::span(out_.values).subspan(begin * out_bytes_, rows * out_bytes_);
        const auto out_scales =
            std::span(out_.scales).subspan(begin * out_scales_, rows * out_scales_);
        if (tensor_.type == tensor_.source->type)
            return file_.read_rows(*tensor_.source, first, out, out_scales);
        scratch.values.resize(rows * in_bytes_);
        scratch.scales.resize(rows * in_scales_);
        scratch.row.resize(cols_);
        file_.read_rows(*tensor_.source, first, scratch.values, scratch.scales);
        for (uint64_t r = 0; r < rows; ++r) {
            decode(scratch, r);
            encode(scratch.row, out.subspan(r * out_bytes_, out_bytes_),
                   out_scales.subspan(r * out_scales_, out_scales_));
        }
    }

    void decode(Scratch& scratch, uint64_t row) const {
        const auto in =
            std::span<const std::byte>(scratch.values).subspan(row * in_bytes_, in_bytes_);
        if (tensor_.source->type != DType::i8c)
            return dequantize_row(tensor_.source->type, in, scratch.row);
        std::vector<uint16_t> factors(tensor_.source->scale_groups);
        std::memcpy(factors.data(), scratch.scales.data() + row * in_scales_, in_scales_);
        dequantize_i8c({reinterpret_cast<const int8_t*>(in.data()), in.size()}, factors,
                       scratch.row);
    }

    void encode(std::span<const float> row, std::span<std::byte> out,
                std::span<std::byte> out_scales) const {
        if (tensor_.type != DType::i8c) return quantize_row(tensor_.type, row, out);
        std::vector<uint16_t> factors(tensor_.scale_groups);
        quantize_i8c(row, {reinterpret_cast<int8_t*>(out.data()), out.size()}, factors);
        std::memcpy(out_scales.data(), factors.data(), out_scales.size());
    }

    const WeightFile& file_;
    const Batch& batch_;
    const ConvertedTensor& tensor_;
    Converted& out_;
    uint64_t cols_;
    uint64_t in_bytes_ = 0;  // of a row
    uint64_t in_scales_ = 0;
    uint64_t out_bytes_ = 0;
    uint64_t out_scales_ = 0;
    std::vector<Scratch> scratch_;  // by worker
};

// Gives batches to a GgufWriter on a thread of its own, so that the next one is converted while the
// disk takes the last.
class WriterThread {
  public:
    explicit WriterThread(GgufWriter& writer) : writer_(writer), thread_([this] { work(); }) {}
    // What was given and is not written is dropped.
    ~WriterThread() {
        if (thread_.joinable()) stop(false);
    }
    WriterThread(const WriterThread&) = delete;
    WriterThread& operator=(const WriterThread&) = delete;

    // Takes the batch once the one before is written, and leaves the memory of an older one. Throws
    // what the writer threw.
    void write(Converted& batch, bool ends_tensor) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !full_; });
        if (error_) std::rethrow_exception(error_);
        std::swap(batch_, batch);
        ends_tensor_ = ends_tensor;
        full_ = true;
        changed_.notify_all();
    }

    // Waits until everything is written. Throws what the writer threw.
    void finish() {
        stop(true);
        if (error_) std::rethrow_exception(error_);
    }

  private:
    void stop(bool drain) {
        {
            std::unique_lock lock(mutex_);
            if (drain) changed_.wait(lock, [this] { return !full_; });
            stopped_ = true;
            changed_.notify_all();
        }
        thread_.join();
    }

    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return full_ || stopped_; });
            if (stopped_) return;
            lock.unlock();
            const std::exception_ptr error = append();
            lock.lock();
            if (!error_) error_ = error;
            full_ = false;
            changed_.notify_all();
        }
    }

    std::exception_ptr append() {
        try {
            writer_.append_bytes(batch_.values);
            scales_.insert(scales_.end(), batch_.scales.begin(), batch_.scales.end());
            if (!ends_tensor_) return nullptr;
            writer_.append_bytes(scales_);
            scales_.clear();
        } catch (const std::exception&) {
            return std::current_exception();
        }
        return nullptr;
    }

    // Writer's thread only.
    GgufWriter& writer_;
    std::vector<std::byte> scales_;  // of the tensor so far: they come after all its values

    // Shared. What is given belongs to the thread while full_.
    std::mutex mutex_;
    std::condition_variable changed_;
    Converted batch_;
    bool ends_tensor_ = false;
    bool full_ = false;
    bool stopped_ = false;
    std::exception_ptr error_;

    std::thread thread_;  // last: it begins when everything else is there
};

// Integers become u32 or i32 and floats f32 where they fit: other readers insist on these types.
struct WriteValue {
    GgufWriter& writer;
    const std::string& key;

    void operator()(bool value) const { writer.add<bool>(key, value); }
    void operator()(double value) const { writer.add<float>(key, static_cast<float>(value)); }
    void operator()(const std::string& value) const { writer.add_string(key, value); }
    void operator()(uint64_t value) const {
        if (std::in_range<uint32_t>(value))
            writer.add<uint32_t>(key, static_cast<uint32_t>(value));
        else
            writer.add<uint64_t>(key, value);
    }
    void operator()(int64_t value) const {
        if (std::in_range<int32_t>(value))
            writer.add<int32_t>(key, static_cast<int32_t>(value));
        else
            writer.add<int64_t>(key, value);
    }
    void operator()(const std::shared_ptr<const MetaArray>& array) const {
        if (array->empty()) return;
        const auto& first = array->front().value;
        if (std::holds_alternative<std::string>(first)) {
            writer.add_strings(key, elements<std::string>(*array));
        } else if (std::holds_alternative<double>(first)) {
            writer.add_array<float>(key, elements<float>(*array));
        } else if (!std::holds_alternative<bool>(first)) {
            writer.add_array<int32_t>(key, elements<int32_t>(*array));
        }
    }

    // Of an array whose elements are of one type, as those of a file are.
    template <class Out>
    static std::vector<Out> elements(const MetaArray& array) {
        std::vector<Out> values;
        values.reserve(array.size());
        for (const MetaValue& element : array) {
            std::visit(
                [&](const auto& value) {
                    using In = std::decay_t<decltype(value)>;
                    if constexpr (std::is_convertible_v<In, Out>)
                        values.push_back(static_cast<Out>(value));
                },
                element.value);
        }
        return values;
    }
};

void write_metadata(const ConvertPlan& plan, GgufWriter& writer) {
    for (const auto& [key, value] : plan.metadata)
        std::visit(WriteValue{writer, key}, value.value);
    writer.add<uint32_t>("general.quantization_version", 2);
}

void prefetch(const WeightFile& file, const Batch& batch) {
    file.prefetch_rows(*batch.tensor->source, batch.first, batch.rows);
}

void convert_batches(const WeightFile& file, const ConvertPlan& plan, const std::string& path,
                     Pool& pool, GgufWriter& writer,
                     const std::function<void(const ConvertProgress&)>& progress,
                     const CancelFlag* cancel) {
    const std::vector<Batch> batches = cut_into_batches(plan);
    WriterThread thread(writer);
    Converted converted;
    uint64_t done = 0;
    if (!batches.empty()) prefetch(file, batches.front());
    for (size_t i = 0; i < batches.size(); ++i) {
        const Batch& batch = batches[i];
        const TensorInfo& source = *batch.tensor->source;
        if (i + 1 < batches.size()) prefetch(file, batches[i + 1]);
        RowConverter(file, batch, converted).run(pool, cancel);
        if (cancel != nullptr && cancel->load())
            throw Error(ErrorKind::internal, path, "cancelled", "nothing was written");
        thread.write(converted, batch.ends_tensor());
        file.release_rows(source, batch.first, batch.rows);
        done += source.bytes() / source.rows() * batch.rows;
        if (progress) progress({done, plan.source_bytes, source.name});
    }
    thread.finish();
}

}  // namespace

void convert(const WeightFile& file, const ConvertPlan& plan, const std::string& path, Pool& pool,
             const std::function<void(const ConvertProgress&)>& progress,
             const CancelFlag* cancel) {
    GgufWriter writer(path);
    write_metadata(plan, writer);
    for (const ConvertedTensor& tensor : plan.tensors)
        writer.declare(tensor.source->name, tensor.type, tensor.source->shape, tensor.scale_groups);
    convert_batches(file, plan, path, pool, writer, progress, cancel);
    if (file.damaged()) {
        throw Error(ErrorKind::model_unusable, file.path(), "has become shorter while it was read",
                    "copy it again");
    }
    writer.finish();
}

}  // namespace core
