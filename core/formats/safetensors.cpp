#include "core/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/formats/json_metadata.h"
#include "core/formats/mapped_weights.h"
#include "core/formats/safetensors_header.h"

namespace core {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kSingle = "model.safetensors";
// The second name is the one under which Grok-2's settings travel without the release.
constexpr const char* kConfigs[] = {"config.json", "config_grok2_like.json"};

[[noreturn]] void fail(const std::string& object, std::string problem, std::string advice) {
    throw Error(ErrorKind::model_unusable, object, std::move(problem), std::move(advice));
}

// Of the number of a rank in a file's name.
constexpr size_t kDigits = 3;

// Rank of `...-TP-003.safetensors`; nothing for a file of whole tensors.
std::optional<unsigned> rank_of(const std::string& file) {
    constexpr std::string_view kMark = "-TP-";
    const std::string stem = fs::path(file).stem().string();
    if (stem.size() < kMark.size() + kDigits) return std::nullopt;
    const size_t at = stem.size() - kMark.size() - kDigits;
    if (stem.compare(at, kMark.size(), kMark) != 0) return std::nullopt;
    const std::string digits = stem.substr(at + kMark.size());
    const bool number = std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    return number ? std::optional(static_cast<unsigned>(std::stoul(digits))) : std::nullopt;
}

// The name of another rank's file. REQUIRES: rank_of(file).
std::string name_of_rank(std::string file, unsigned rank) {
    const std::string digits = std::to_string(rank);
    const size_t end = file.size() - kExtension.size();
    return file.replace(end - kDigits, kDigits, std::string(kDigits - digits.size(), '0') + digits);
}

class SafetensorsFile : public MappedWeights {
  public:
    SafetensorsFile(std::string path, Metadata metadata)
        : MappedWeights(std::move(path), std::move(metadata)) {}

    std::string_view format() const override { return safetensors::kFormat; }

    void add(std::unique_ptr<MappedFile> file) {
        add(file->bytes(), file->path());
        keep(std::move(file));
    }
    // Bytes that somebody else keeps.
    void add_unkept(std::span<const std::byte> bytes, const std::string& name) {
        add(bytes, name);
        count_bytes(bytes.size());
    }

  private:
    void add(std::span<const std::byte> bytes, const std::string& name) {
        const std::optional<unsigned> rank = rank_of(name);
        SafetensorsHeader header = read_safetensors_header(bytes, name);
        for (TensorInfo& tensor : header.tensors) {
            if (rank) tensor.name += std::string(safetensors::kRankMark) + std::to_string(*rank);
            if (find_tensor(tensor.name) != nullptr)
                fail(name, "tensor " + sanitize(tensor.name) + " is in another file too",
                     "the folder holds files of two checkpoints");
            add_tensor(std::move(tensor));
        }
        // What a writer says of its file ("format": "pt"): once is enough.
        if (file_bytes() == 0) {
            for (auto& [key, value] : header.metadata)
                add_metadata("__metadata__." + key, MetaValue{std::move(value)});
        }
    }
};

Metadata read_json_file(const fs::path& path) {
    const MappedFile file(path.string());
    return read_json_metadata(file.bytes(), path.string());
}

Metadata read_config(const fs::path& folder) {
    for (const char* name : kConfigs)
        if (fs::exists(folder / name)) return read_json_file(folder / name);
    return {};
}

// Names of all files with this extension, sorted.
std::vector<std::string> scan(const fs::path& folder, std::string_view extension) {
    std::set<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
        if (it->path().extension() == extension) names.insert(it->path().filename().string());
    if (error) {
        throw Error(ErrorKind::model_not_found, folder.string(),
                    "cannot be listed: " + error.message());
    }
    return {names.begin(), names.end()};
}

// The files of an index and the names that each must have.
std::unordered_map<std::string, std::vector<std::string>> read_index(const fs::path& path) {
    constexpr std::string_view kMap = "weight_map.";
    std::unordered_map<std::string, std::vector<std::string>> files;
    for (const auto& [key, value] : read_json_file(path)) {
        if (key.compare(0, kMap.size(), kMap) != 0) continue;
        const auto* file = std::get_if<std::string>(&value.value);
        // A plain name in this folder and nothing else: an index must not reach other files.
        const bool plain = file != nullptr && !file->empty() && *file != "." && *file != ".." &&
                           file->find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
        if (!plain) {
            fail(path.string(),
                 "maps " + sanitize(key.substr(kMap.size())) + " to " +
                     (file != nullptr ? "\"" + sanitize(*file) + "\"" : std::string("no string")) +
                     ", which is no file of this folder",
                 "the file is damaged");
        }
        files[*file].push_back(key.substr(kMap.size()));
    }
    if (files.empty()) fail(path.string(), "names no tensors", "the file is damaged");
    return files;
}

struct Selection {
    std::vector<std::string> files;       // sorted
    std::vector<std::string> must_exist;  // names of tensors
};

[[noreturn]] void fail_without_files(const fs::path& folder) {
    const std::vector<std::string> others = scan(folder, ".gguf");
    if (others.empty()) {
        throw Error(ErrorKind::model_not_found, folder.string(), "holds no model that moxie knows",
                    "a folder needs safetensors files or tensor00000_000 and its companions");
    }
    throw Error(ErrorKind::model_not_found, folder.string(), "is a folder of GGUF files",
                "name one of them: " + (folder / others.front()).string());
}

// Files in which ranks are parts of the same tensors. That the last ones are missing shows in the
// shapes of the tensors; here, that one between others is.
bool are_parallel(const fs::path& folder, const std::vector<std::string>& files) {
    const std::set<std::string> present(files.begin(), files.end());
    bool parallel = false;
    for (const std::string& name : files) {
        const auto rank = rank_of(name);
        if (!rank) continue;
        parallel = true;
        if (*rank == 0) continue;
        const std::string before = name_of_rank(name, *rank - 1);
        if (!present.contains(before))
            fail((folder / before).string(), "is missing", "the download is incomplete");
    }
    return parallel;
}

Selection select_files(const fs::path& folder) {
    Selection selection{scan(folder, kExtension), {}};
    if (selection.files.empty()) fail_without_files(folder);
    if (are_parallel(folder, selection.files)) return selection;
    if (fs::exists(folder / kIndex)) {
        selection.files.clear();
        for (auto& [file, tensors] : read_index(folder / kIndex)) {
            selection.files.push_back(file);
            selection.must_exist.insert(selection.must_exist.end(), tensors.begin(), tensors.end());
        }
        std::ranges::sort(selection.files);
    } else if (fs::exists(folder / kSingle)) {
        selection.files = {std::string(kSingle)};
    }
    return selection;
}

}  // namespace

bool looks_like_safetensors(std::span<const std::byte> bytes) {
    uint64_t length = 0;
    if (bytes.size() <= sizeof(length)) return false;
    std::memcpy(&length, bytes.data(), sizeof(length));
    return length <= safetensors::kMaxHeaderBytes && bytes[sizeof(length)] == std::byte{'{'};
}

std::unique_ptr<WeightFile> open_safetensors(std::unique_ptr<MappedFile> file) {
    const std::string path = file->path();
    auto result =
        std::make_unique<SafetensorsFile>(path, read_config(fs::path(path).parent_path()));
    result->add(std::move(file));
    return result;
}

std::unique_ptr<WeightFile> open_safetensors_folder(const std::string& folder) {
    const Selection selection = select_files(folder);
    if (selection.files.size() > safetensors::kMaxFiles) {
        fail(folder, "holds " + std::to_string(selection.files.size()) + " safetensors files",
             "at most " + std::to_string(safetensors::kMaxFiles) + " are opened");
    }
    auto result = std::make_unique<SafetensorsFile>(folder, read_config(folder));
    for (const std::string& name : selection.files) {
        const fs::path path = fs::path(folder) / name;
        if (!fs::exists(path))
            fail(path.string(), "is missing, the index names it", "the download is incomplete");
        result->add(std::make_unique<MappedFile>(path.string()));
    }
    for (const std::string& name : selection.must_exist) {
        if (result->find_tensor(name) == nullptr) {
            fail(folder, "tensor " + sanitize(name) + " is in the index but in no file",
                 "the download is incomplete");
        }
    }
    return result;
}

std::unique_ptr<WeightFile> parse_safetensors(std::span<const std::byte> bytes,
                                              const std::string& name, Metadata config) {
    auto result = std::make_unique<SafetensorsFile>(name, std::move(config));
    result->add_unkept(bytes, name);
    return result;
}

}  // namespace core
