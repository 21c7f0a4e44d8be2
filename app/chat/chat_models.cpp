#include "app/chat/chat_models.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "core/base/cpu.h"
#include "core/base/error.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

// The engine takes less context where nobody asked for a number, but not less than this.
constexpr uint32_t kLeastContext = 256;

uint64_t physical_memory() {
    const long pages = ::sysconf(_SC_PHYS_PAGES);
    const long bytes = ::sysconf(_SC_PAGE_SIZE);
    return pages <= 0 || bytes <= 0 ? 0
                                    : static_cast<uint64_t>(pages) * static_cast<uint64_t>(bytes);
}

std::optional<size_t> number_of(std::string_view text) {
    size_t number = 0;
    const auto end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    if (text.empty() || result.ec != std::errc{} || result.ptr != end) return std::nullopt;
    return number;
}

// The sentence that the user sees, in the form of an error.
[[noreturn]] void refuse(std::string sentence) {
    sentence.pop_back();
    throw core::Error(core::ErrorKind::model_not_found, "", std::move(sentence));
}

}  // namespace

ChatModels::ChatModels(std::vector<ModelPlace> places)
    : scan_(std::make_unique<ModelScan>(std::move(places), model_index_file())) {}

std::vector<ModelHeader> ChatModels::models() const {
    return scan_ == nullptr ? std::vector<ModelHeader>() : scan_->models();
}

std::vector<std::string> ChatModels::names() const {
    std::vector<std::string> names;
    for (const ModelHeader& model : models())
        if (model.problem.empty()) names.push_back(model.name);
    return names;
}

std::string ChatModels::path_of(const std::string& wanted) const {
    const std::vector<ModelHeader> known = models();
    if (wanted.starts_with('#')) {
        const auto number = number_of(std::string_view(wanted).substr(1));
        if (!number || *number == 0 || *number > known.size()) refuse(no_such_model(known, wanted));
        return known[*number - 1].path;
    }
    if (const ModelHeader* model = find_model(known, wanted)) return model->path;
    if (scan_ == nullptr || is_model_path(wanted)) {
        std::error_code error;
        const auto whole = std::filesystem::absolute(wanted, error);
        return error ? wanted : whole.lexically_normal().string();
    }
    refuse(no_such_model(known, wanted));
}

ModelHeader ChatModels::header_of(const std::string& path) const {
    const std::vector<ModelHeader> known = models();
    const auto found = std::ranges::find(known, path, &ModelHeader::path);
    return found != known.end() ? *found : read_model_header(path);
}

std::optional<MemoryQuestion> ChatModels::question_before(const std::string& path,
                                                          const LoadSettings& settings,
                                                          uint64_t reclaimable) {
    asked_.reset();
    if (scan_ == nullptr) return std::nullopt;
    const ModelHeader model = header_of(path);
    if (!model.problem.empty() || model.weight_bytes == 0) return std::nullopt;
    const uint64_t available = core::available_memory() + reclaimable;
    const uint32_t least = settings.context == 0 ? kLeastContext : settings.context;
    if (memory_need(model, std::min(least, model.context), settings.kv).total() <= available)
        return std::nullopt;
    const uint32_t context =
        settings.context == 0 ? usual_context(model) : std::min(settings.context, model.context);
    MemoryQuestion question = memory_question(model, context, settings.kv, available);
    asked_ = Asked{.path = path, .choices = question.choices};
    return question;
}

std::optional<ChatModels::Answer> ChatModels::take_answer(std::string_view line) {
    const auto number = number_of(line);
    if (!asked_ || !number || *number == 0 || *number > asked_->choices.size()) return std::nullopt;
    const Asked asked = *std::exchange(asked_, std::nullopt);
    return Answer{.path = asked.path, .choice = asked.choices[*number - 1]};
}

std::string ChatModels::too_large_by_itself(const std::string& path) const {
    if (scan_ == nullptr) return {};
    const uint64_t half = physical_memory() / 2;
    std::error_code error;
    // Most files are small enough without a look inside.
    const uint64_t bytes = std::filesystem::file_size(path, error);
    if (!error && bytes <= half) {
        const bool first_part = path.find("-00001-of-") != std::string::npos;
        if (!first_part) return {};
    }
    const ModelHeader model = header_of(path);
    if (!model.problem.empty() || model.weight_bytes <= half) return {};
    return model.name + " takes " + core::human_bytes(model.weight_bytes) +
           ", more than half of this machine's memory, so it is not loaded by itself. /model " +
           model.name + " loads it.";
}

std::vector<ui::PanelRow> ChatModels::rows(const LoadSettings& settings) const {
    std::vector<ui::PanelRow> rows;
    const uint64_t available = core::available_memory();
    for (const ModelHeader& model : models()) {
        const bool runs = model.problem.empty();
        std::string detail = model.architecture;
        const auto add = [&detail](const std::string& part) {
            if (!part.empty()) detail += (detail.empty() ? "" : " · ") + part;
        };
        add(parameters_text(model));
        add(model.quantization);
        if (model.weight_bytes != 0) add(core::human_bytes(model.weight_bytes));
        add(runs ? model.place : model.problem);
        rows.push_back({.key = rows.size() + 1,
                        .text = model.name,
                        .aside = fits_text(model, settings.context, settings.kv, available),
                        .detail = detail,
                        .style = runs ? ui::StyleName::text : ui::StyleName::notice});
    }
    return rows;
}

std::string first_run_text(const std::vector<ModelHeader>& models, const std::string& data_folder) {
    const auto others = std::ranges::count_if(models, [](const ModelHeader& model) {
        return model.problem.empty() && model.place != "moxie";
    });
    std::string text =
        "This is moxie with its bundled model: tiny, so that it starts at once on any machine, and "
        "it will be wrong about most things. ";
    if (others > 0)
        text += "Found " + core::counted(others, "model") + " on this machine — C-x m. ";
    else
        text += "/model PATH loads a better one (GGUF). ";
    if (!data_folder.empty()) text += "Conversations are kept in " + data_folder + ". ";
    return text + "Nothing leaves this computer. C-x ? shows the keys, /help the commands.";
}

}  // namespace app
