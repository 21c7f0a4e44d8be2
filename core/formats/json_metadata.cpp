#include "core/formats/json_metadata.h"

#include <memory>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace core {
namespace {

using Json = nlohmann::json;

// Events of the parser; each returns whether it may go on.
class Flattener : public nlohmann::json_sax<Json> {
  public:
    Metadata take() { return std::move(metadata_); }
    const std::string& problem() const { return problem_; }

    bool null() override { return admit(); }
    bool boolean(bool flag) override { return scalar(flag); }
    bool number_integer(number_integer_t number) override { return scalar(number); }
    bool number_unsigned(number_unsigned_t number) override { return scalar(number); }
    bool number_float(number_float_t number, const string_t&) override { return scalar(number); }
    bool string(string_t& text) override { return scalar(std::move(text)); }
    bool binary(binary_t&) override { return refuse("holds binary data"); }

    bool start_object(size_t) override {
        if (!enter()) return false;
        if (hidden_ != 0 || array_) return ++hidden_, true;
        prefixes_.push_back(prefixes_.empty() ? "" : key_ + ".");
        return true;
    }
    bool key(string_t& name) override {
        if (hidden_ != 0) return true;
        key_ = prefixes_.back() + name;
        // Every name repeats those around it: a small file could take any amount of memory.
        key_bytes_ += key_.size();
        if (key_bytes_ > kMaxJsonBytes)
            return refuse("has names of more than " + std::to_string(kMaxJsonBytes) + " bytes");
        if (!seen_.insert(key_).second) return refuse("names " + sanitize(key_) + " twice");
        return true;
    }
    bool end_object() override {
        --depth_;
        if (hidden_ != 0) return --hidden_, true;
        prefixes_.pop_back();
        return true;
    }
    bool start_array(size_t) override {
        if (depth_ == 0) return refuse("is no JSON object");
        if (!enter()) return false;
        if (hidden_ != 0 || array_) return ++hidden_, true;
        array_ = std::make_shared<MetaArray>();
        return true;
    }
    bool end_array() override {
        --depth_;
        if (hidden_ != 0) return --hidden_, true;
        metadata_.emplace_back(key_, MetaValue{std::shared_ptr<const MetaArray>(array_)});
        array_.reset();
        return true;
    }
    bool parse_error(size_t position, const std::string&, const Json::exception&) override {
        return refuse("is no JSON at byte " + std::to_string(position));
    }

  private:
    bool refuse(std::string problem) {
        problem_ = std::move(problem);
        return false;
    }
    bool enter() {
        if (++depth_ > kMaxJsonDepth)
            return refuse("nests deeper than " + std::to_string(kMaxJsonDepth) + " levels");
        return count();
    }
    bool count() {
        if (++values_ > kMaxJsonValues)
            return refuse("has more than " + std::to_string(kMaxJsonValues) + " values");
        return true;
    }
    bool admit() {
        if (depth_ == 0) return refuse("is no JSON object");
        return count();
    }
    // Made in place: GCC 12 takes a variant that is moved here for uninitialized.
    template <class Scalar>
    bool scalar(Scalar value) {
        if (!admit()) return false;
        if (hidden_ != 0) return true;
        MetaValue& target =
            array_ ? array_->emplace_back() : metadata_.emplace_back(key_, MetaValue{}).second;
        target.value.emplace<Scalar>(std::move(value));
        return true;
    }

    Metadata metadata_;
    std::unordered_set<std::string> seen_;
    std::string problem_;
    std::string key_;                    // of the value that comes, with its prefix
    std::vector<std::string> prefixes_;  // of the open objects that are kept
    std::shared_ptr<MetaArray> array_;   // the open array that is kept
    uint32_t hidden_ = 0;                // open arrays and objects inside an array
    uint32_t depth_ = 0;
    uint64_t values_ = 0;
    uint64_t key_bytes_ = 0;
};

}  // namespace

Metadata read_json_metadata(std::span<const std::byte> bytes, const std::string& name) {
    const auto fail = [&](const std::string& problem) {
        throw Error(ErrorKind::model_unusable, name, problem, "the file is damaged");
    };
    if (bytes.size() > kMaxJsonBytes) fail("has " + std::to_string(bytes.size()) + " bytes");
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    Flattener flattener;
    if (!Json::sax_parse(text, text + bytes.size(), &flattener)) fail(flattener.problem());
    return flattener.take();
}

}  // namespace core
