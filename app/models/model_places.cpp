#include "app/models/model_places.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace app {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return in ? std::string{std::istreambuf_iterator<char>(in), {}} : std::string();
}

std::vector<fs::path> entries_of(const fs::path& folder) {
    std::vector<fs::path> entries;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
        entries.push_back(it->path());
    std::ranges::sort(entries);
    return entries;
}

bool is_folder(const fs::path& path) {
    std::error_code error;
    return fs::is_directory(path, error);
}

// A folder of Hugging Face's form is one model.
bool is_model_folder(const fs::path& folder) {
    std::error_code error;
    if (!fs::exists(folder / "config.json", error)) return false;
    return std::ranges::any_of(entries_of(folder), [](const fs::path& entry) {
        return entry.extension() == ".safetensors";
    });
}

// The folder of Grok-1's checkpoint, of which `ckpt-0` is the name that says nothing.
bool is_checkpoint(const fs::path& folder) {
    std::error_code error;
    return fs::exists(folder / "tensor00000_000", error);
}
std::string checkpoint_name(const fs::path& folder) {
    return folder.filename() == "ckpt-0" ? folder.parent_path().filename().string() : "";
}

// "-00002-of-00017" and on: the first part stands for all.
bool is_later_part(const std::string& stem) {
    const size_t of = stem.rfind("-of-");
    if (of == std::string::npos || of < 6 || stem.size() != of + 9) return false;
    return stem.substr(of - 6, 6) != "-00001";
}

class Search {
  public:
    void folder(const fs::path& folder, const std::string& label, uint32_t depth) {
        if (is_model_folder(folder)) return add(folder, {}, label);
        if (is_checkpoint(folder)) return add(folder, checkpoint_name(folder), label);
        for (const fs::path& entry : entries_of(folder)) {
            if (entry.extension() == ".gguf") {
                add(entry, {}, label);
            } else if (depth > 0 && is_folder(entry) && !fs::is_symlink(entry)) {
                this->folder(entry, label, depth - 1);
            }
        }
    }

    // models--org--repo/snapshots/COMMIT, preferring what refs/main says.
    void hugging_face(const fs::path& hub, const std::string& label) {
        for (const fs::path& repository : entries_of(hub)) {
            if (!repository.filename().string().starts_with("models--")) continue;
            std::string commit = text_of(repository / "refs/main");
            commit.erase(std::ranges::find(commit, '\n'), commit.end());
            const fs::path snapshots = repository / "snapshots";
            const bool named = !commit.empty() && commit.find('/') == std::string::npos &&
                               is_folder(snapshots / commit);
            if (named) {
                folder(snapshots / commit, label, 4);
            } else {
                for (const fs::path& snapshot : entries_of(snapshots))
                    folder(snapshot, label, 4);
            }
        }
    }

    // manifests/HOST/NAMESPACE/MODEL/TAG name the blob that is a plain GGUF.
    void ollama(const fs::path& root, const std::string& label) {
        for (const fs::path& host : entries_of(root / "manifests"))
            for (const fs::path& space : entries_of(host))
                for (const fs::path& model : entries_of(space))
                    for (const fs::path& tag : entries_of(model))
                        if (const auto blob = blob_of(tag))
                            add(root / "blobs" / *blob,
                                model.filename().string() + ":" + tag.filename().string(), label);
    }

    std::vector<ModelCandidate> take() { return std::move(found_); }

  private:
    static std::optional<std::string> blob_of(const fs::path& manifest) {
        const auto json = nlohmann::json::parse(text_of(manifest), nullptr, false);
        if (!json.is_object() || !json.contains("layers") || !json["layers"].is_array())
            return std::nullopt;
        for (const auto& layer : json["layers"]) {
            if (!layer.is_object() ||
                layer.value("mediaType", std::string()) != "application/vnd.ollama.image.model")
                continue;
            std::string digest = layer.value("digest", std::string());
            if (!digest.starts_with("sha256:") || digest.find('/') != std::string::npos)
                return std::nullopt;
            digest[6] = '-';
            return digest;
        }
        return std::nullopt;
    }

    void add(const fs::path& path, std::string name, const std::string& label) {
        const std::string stem = path.stem().string();
        if (stem.starts_with("mmproj") || is_later_part(stem)) return;
        struct stat status = {};
        if (::stat(path.c_str(), &status) != 0) return;  // a link to nothing
        if (!seen_.emplace(status.st_dev, status.st_ino).second) return;
        found_.push_back({.path = path.string(), .name = std::move(name), .label = label});
    }

    std::vector<ModelCandidate> found_;
    std::set<std::pair<dev_t, ino_t>> seen_;
};

// Variables and places that follow a home folder.
class Places {
  public:
    Places(const Config& config, const char* (*variable)(const char*))
        : config_(config), variable_(variable), home_(value("HOME")) {
        cache_ = value("XDG_CACHE_HOME");
        if (cache_.empty() && !home_.empty()) cache_ = home_ + "/.cache";
    }

    std::vector<ModelPlace> all() {
        const auto depth = static_cast<uint32_t>(config_.integer("models.scan_depth"));
        for (const std::string& folder : config_.texts("models.dirs"))
            add(folder, {}, PlaceKind::folder, depth);
        const std::string more = value("MOXIE_MODELS");
        std::string_view list = more;
        while (!list.empty()) {
            const size_t end = std::min(list.find(':'), list.size());
            add(std::string(list.substr(0, end)), {}, PlaceKind::folder, depth);
            list.remove_prefix(std::min(end + 1, list.size()));
        }
        if (wants("hf")) hugging_face();
        if (wants("llama.cpp")) {
            add(value("LLAMA_CACHE"), "llama.cpp", PlaceKind::folder, 1);
            add(below(cache_, "llama.cpp"), "llama.cpp", PlaceKind::folder, 1);
        }
        if (wants("lmstudio")) {
            add(below(home_, ".lmstudio/models"), "LM Studio", PlaceKind::folder, 3);
            add(below(home_, ".cache/lm-studio/models"), "LM Studio", PlaceKind::folder, 3);
        }
        if (wants("ollama")) {
            add(value("OLLAMA_MODELS"), "Ollama", PlaceKind::ollama, 0);
            add(below(home_, ".ollama/models"), "Ollama", PlaceKind::ollama, 0);
            add("/usr/share/ollama/.ollama/models", "Ollama", PlaceKind::ollama, 0);
        }
        for (const std::string& folder : model_folders())
            add(folder, "moxie", PlaceKind::folder, 0);
        return std::move(places_);
    }

  private:
    std::string value(const char* name) const {
        const char* text = variable_(name);
        return text == nullptr ? "" : text;
    }
    static std::string below(const std::string& folder, const char* path) {
        return folder.empty() ? "" : folder + "/" + path;
    }
    bool wants(std::string_view what) const {
        const auto& scan = config_.texts("models.scan");
        return std::ranges::find(scan, what) != scan.end();
    }
    void add(std::string folder, std::string label, PlaceKind kind, uint32_t depth) {
        if (!folder.empty())
            places_.push_back({.folder = std::move(folder),
                               .label = std::move(label),
                               .kind = kind,
                               .depth = depth});
    }
    void hugging_face() {
        const std::string home = value("HF_HOME");
        for (const std::string& hub :
             {value("LLAMA_CACHE"), value("HF_HUB_CACHE"), value("HUGGINGFACE_HUB_CACHE"),
              below(home, "hub"), below(cache_, "huggingface/hub"),
              below(home_, ".cache/huggingface/hub")})
            add(hub, "Hugging Face", PlaceKind::hugging_face, 4);
    }

    const Config& config_;
    const char* (*variable_)(const char*);
    std::string home_;
    std::string cache_;
    std::vector<ModelPlace> places_;
};

}  // namespace

const char* environment_variable(const char* name) {
    // moxie never changes its environment once a thread has been started.
    return std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
}

std::vector<ModelPlace> model_places(const Config& config,
                                     const char* (*variable)(const char* name)) {
    return Places(config, variable).all();
}

std::vector<ModelCandidate> find_candidates(const std::vector<ModelPlace>& places) {
    Search search;
    for (const ModelPlace& place : places) {
        switch (place.kind) {
            case PlaceKind::folder:
                search.folder(place.folder, place.label.empty() ? place.folder : place.label,
                              place.depth);
                break;
            case PlaceKind::hugging_face: search.hugging_face(place.folder, place.label); break;
            case PlaceKind::ollama: search.ollama(place.folder, place.label); break;
        }
    }
    return search.take();
}

std::string find_default_model(const std::vector<std::string>& folders) {
    const char* chosen = environment_variable("MOXIE_MODEL");
    if (chosen != nullptr && *chosen != '\0') return chosen;
    for (const std::string& folder : folders) {
        std::vector<std::string> models;
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(folder, error))
            if (entry.path().extension() == ".gguf") models.push_back(entry.path().string());
        if (!models.empty()) return *std::ranges::min_element(models);
    }
    return {};
}

std::vector<std::string> model_folders() {
    std::vector<std::string> folders{MOXIE_SOURCE_DIR "/models"};
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error)
        for (const char* place : {"../models", "../share/moxie"})
            folders.push_back((program.parent_path() / place).lexically_normal().string());
    return folders;
}

}  // namespace app
