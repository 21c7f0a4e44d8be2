#include "app/models/model_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "app/settings/nearest.h"
#include "core/base/error.h"
#include "core/base/event_queue.h"
#include "core/base/paths.h"

namespace app {
namespace {

using Json = nlohmann::json;

// Raised whenever read_model_header() learns to say something else.
constexpr int kIndexVersion = 2;

std::string key_of(const std::string& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0) return {};
    return path + ":" + std::to_string(status.st_size) + ":" +
           std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec);
}

Json to_json(const ModelHeader& model) {
    return {{"name", model.name},
            {"title", model.title},
            {"architecture", model.architecture},
            {"quantization", model.quantization},
            {"parameters", model.parameters},
            {"active", model.active},
            {"weight_bytes", model.weight_bytes},
            {"context", model.context},
            {"kv_elements", model.kv_elements},
            {"problem", model.problem}};
}

ModelHeader from_json(const Json& json) {
    return {.name = json.at("name"),
            .title = json.at("title"),
            .architecture = json.at("architecture"),
            .quantization = json.at("quantization"),
            .parameters = json.at("parameters"),
            .active = json.at("active"),
            .weight_bytes = json.at("weight_bytes"),
            .context = json.at("context"),
            .kv_elements = json.at("kv_elements"),
            .problem = json.at("problem")};
}

// What was read in earlier runs. A file that is no index is as good as none.
class Index {
  public:
    explicit Index(std::string file) : file_(std::move(file)) {
        std::ifstream in(file_, std::ios::binary);
        if (!in) return;
        const Json json = Json::parse(std::string{std::istreambuf_iterator<char>(in), {}}, nullptr,
                                      /*allow_exceptions=*/false);
        if (!json.is_object() || json.value("version", 0) != kIndexVersion) return;
        try {
            for (const auto& [key, model] : json.at("models").items())
                known_[key] = from_json(model);
        } catch (const Json::exception&) {
            known_.clear();
        }
    }

    ModelHeader header(const ModelCandidate& candidate) {
        const std::string key = key_of(candidate.path);
        const auto known = known_.find(key);
        ModelHeader model =
            known != known_.end() ? known->second : read_model_header(candidate.path);
        if (known == known_.end()) changed_ = true;
        used_[key] = model;
        model.path = candidate.path;
        model.place = candidate.label;
        if (!candidate.name.empty()) model.name = candidate.name;
        return model;
    }

    // Where it cannot be written the next run reads the headers again.
    void save() const {
        if (file_.empty() || (!changed_ && used_.size() == known_.size())) return;
        Json json = {{"version", kIndexVersion}, {"models", Json::object()}};
        for (const auto& [key, model] : used_)
            json["models"][key] = to_json(model);
        const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
        const std::string written = file_ + "." + std::to_string(::getpid());
        const int fd = ::open(written.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0) return;
        const bool whole =
            ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
        ::close(fd);
        if (!whole || std::rename(written.c_str(), file_.c_str()) != 0) ::unlink(written.c_str());
    }

  private:
    const std::string file_;
    std::map<std::string, ModelHeader> known_;
    std::map<std::string, ModelHeader> used_;
    bool changed_ = false;
};

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
    return result;
}

}  // namespace

struct ModelScan::Shared {
    // Constant after construction.
    std::vector<ModelPlace> places;
    std::string index_file;

    // Shared.
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<ModelHeader> models;
    bool finished = false;
    std::atomic<bool> stop = false;
    core::Bell bell;

    std::thread thread;

    void run() {
        Index index(index_file);
        for (const ModelCandidate& candidate : find_candidates(places)) {
            if (stop) break;
            ModelHeader model = index.header(candidate);
            const std::lock_guard lock(mutex);
            models.push_back(std::move(model));
        }
        if (!stop) index.save();
        const std::lock_guard lock(mutex);
        finished = true;
        changed.notify_all();
        bell.ring();
    }
};

ModelScan::ModelScan(std::vector<ModelPlace> places, std::string index_file)
    : shared_(std::make_unique<Shared>()) {
    shared_->places = std::move(places);
    shared_->index_file = std::move(index_file);
    shared_->thread = std::thread([shared = shared_.get()] { shared->run(); });
}

ModelScan::~ModelScan() {
    shared_->stop = true;
    shared_->thread.join();
}

bool ModelScan::wait(std::chrono::milliseconds budget) const {
    std::unique_lock lock(shared_->mutex);
    return shared_->changed.wait_for(lock, budget, [this] { return shared_->finished; });
}

bool ModelScan::finished() const {
    return wait(std::chrono::milliseconds(0));
}

std::vector<ModelHeader> ModelScan::models() const {
    std::vector<ModelHeader> models;
    {
        const std::lock_guard lock(shared_->mutex);
        models = shared_->models;
    }
    std::ranges::stable_sort(models, [](const ModelHeader& a, const ModelHeader& b) {
        if (a.problem.empty() != b.problem.empty()) return a.problem.empty();
        return lower(a.name) < lower(b.name);
    });
    return models;
}

int ModelScan::event_fd() const {
    return shared_->bell.fd();
}

void ModelScan::acknowledge() {
    shared_->bell.acknowledge();
}

std::string model_index_file() {
    try {
        return core::make_private_folder(core::cache_folder()) + "/models.idx";
    } catch (const core::Error&) {
        return {};
    }
}

bool is_model_path(const std::string& wanted) {
    struct stat status = {};
    return wanted.find('/') != std::string::npos || wanted.ends_with(".gguf") ||
           ::stat(wanted.c_str(), &status) == 0;
}

const ModelHeader* find_model(const std::vector<ModelHeader>& models, const std::string& wanted) {
    const ModelHeader* only = nullptr;
    bool several = false;
    for (const ModelHeader& model : models) {
        if (lower(model.name) == lower(wanted)) return &model;
        if (wanted.empty() || !lower(model.name).starts_with(lower(wanted))) continue;
        several = several || only != nullptr;
        only = &model;
    }
    return several ? nullptr : only;
}

std::string no_such_model(const std::vector<ModelHeader>& models, const std::string& wanted) {
    std::string text = "No model \"" + wanted + "\".";
    if (!models.empty()) {
        std::vector<std::string_view> names;
        names.reserve(models.size());
        for (const ModelHeader& model : models)
            names.push_back(model.name);
        const std::string_view closest = nearest(wanted, names);
        const auto found = std::ranges::find(models, closest, &ModelHeader::name);
        text += " Closest: " + found->name + " (" + found->place + ").";
    }
    return text + " C-x m lists " + std::to_string(models.size()) +
           " found; /model PATH loads a file.";
}

}  // namespace app
