#include "app/subcommands/inspect_cmd.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/formats/weight_file.h"
#include "core/model/architecture.h"
#include "core/model/hugging_face.h"
#include "core/model/weights.h"
#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"

namespace app {
namespace {

// Ordered, so that a description reads from the general to the particular.
using Json = nlohmann::ordered_json;

struct TypeUse {
    uint64_t tensors = 0;
    uint64_t elements = 0;
    uint64_t bytes = 0;
};

struct Summary {
    uint64_t parameters = 0;
    uint64_t active = 0;  // used for one token: of stacked experts only the share that is chosen
    std::map<std::string_view, TypeUse> types;
};

// An untrusted text on one line.
std::string inline_text(std::string_view text) {
    std::string line = core::sanitize(text);
    std::ranges::replace(line, '\n', ' ');
    return line;
}

std::string shorten(const std::string& text, size_t columns) {
    const std::string_view shown = core::fit_width(text, columns);
    return shown.size() < text.size() ? std::string(shown) + "..." : text;
}

std::string fixed(double value, const char* unit) {
    char text[32];
    std::snprintf(text, sizeof text,
                  value < 10    ? "%.2f %s"
                  : value < 100 ? "%.1f %s"
                                : "%.0f %s",
                  value, unit);
    return text;
}

// 1.21 GB; decimal units, as file managers and disks use them.
std::string bytes_text(uint64_t bytes) {
    const auto value = static_cast<double>(bytes);
    if (bytes < 1000) return std::to_string(bytes) + " bytes";
    if (value < 1e6) return fixed(value / 1e3, "kB");
    return value < 1e9 ? fixed(value / 1e6, "MB") : fixed(value / 1e9, "GB");
}

std::string count_text(uint64_t count) {
    const auto value = static_cast<double>(count);
    if (value < 1e6) return std::to_string(count);
    return value < 1e9 ? fixed(value / 1e6, "million") : fixed(value / 1e9, "billion");
}

std::string shape_text(const std::vector<uint64_t>& shape) {
    std::string text;
    for (const uint64_t size : shape)
        text += (text.empty() ? "" : " x ") + std::to_string(size);
    return text;
}

std::string architecture(const core::WeightFile& file) {
    return file.meta_string("general.architecture").value_or("");
}

Summary summarize(const core::WeightFile& file) {
    const std::string prefix = architecture(file) + ".";
    const auto* experts = file.find_meta(prefix + "expert_count");
    const auto* used = file.find_meta(prefix + "expert_used_count");
    const uint64_t all = experts != nullptr ? *file.meta_uint(prefix + "expert_count") : 0;
    const uint64_t chosen = used != nullptr ? *file.meta_uint(prefix + "expert_used_count") : all;
    Summary summary;
    for (const core::TensorInfo& tensor : file.tensors()) {
        const uint64_t elements = tensor.elements();
        const bool stacked = all > 0 && tensor.shape.size() == 3 && tensor.shape[2] == all;
        summary.parameters += elements;
        summary.active += stacked ? elements / all * std::min(chosen, all) : elements;
        TypeUse& use = summary.types[core::traits(tensor.type).name];
        ++use.tensors;
        use.elements += elements;
        use.bytes += tensor.bytes();
    }
    return summary;
}

// What can be said of a file beyond what it says itself.
struct Findings {
    std::string family;      // "" when the model cannot run
    std::string problem;     // why it cannot run, or cannot chat
    uint64_t memory = 0;     // bytes of its weights once it is loaded; 0 = cannot be loaded
    uint64_t tokens = 0;     // of the vocabulary, wherever it lies
    std::string vocabulary;  // its kind; "" = none
};

// A file that cannot run is described all the same.
Findings examine(const core::WeightFile& file) {
    Findings findings;
    if (file.tensors().empty()) findings.problem = "holds a vocabulary and no weights";
    try {
        if (const auto tokenizer = core::load_tokenizer(file)) {
            findings.tokens = tokenizer->size();
            findings.vocabulary = file.meta_string("tokenizer.ggml.model").value_or("llama");
        } else {
            findings.problem = "has no vocabulary: it can be evaluated but not asked";
        }
    } catch (const core::Error& error) {
        findings.problem = error.problem();
    }
    if (file.tensors().empty()) return findings;
    try {
        const core::ModelConfig config = core::config_from_file(file);
        core::check_tensors(file, config);
        findings.family = config.family;
        for (const core::TensorInfo& tensor : file.tensors())
            if (core::traits(tensor.type).computable) findings.memory += core::packed_bytes(tensor);
    } catch (const core::Error& error) {
        findings.problem = error.problem();
        if (!error.advice().empty()) findings.problem += ", " + error.advice();
    }
    return findings;
}

// A value as JSON. Arrays become their length: vocabularies have 100,000 entries.
struct ToJson {
    Json operator()(const std::string& text) const { return text; }
    Json operator()(const std::shared_ptr<const core::MetaArray>& array) const {
        return Json{{"array", array->size()}};
    }
    template <class Scalar>
    Json operator()(Scalar value) const {
        return value;
    }
};

Json tokenizer_json(const core::WeightFile& file) {
    const std::optional<std::string> model = file.meta_string("tokenizer.ggml.model");
    if (!model) return nullptr;
    const auto* tokens = file.find_meta("tokenizer.ggml.tokens");
    const std::shared_ptr<const core::MetaArray>* array =
        tokens != nullptr ? std::get_if<std::shared_ptr<const core::MetaArray>>(&tokens->value)
                          : nullptr;
    Json json = {{"model", *model}};
    if (const auto pre = file.meta_string("tokenizer.ggml.pre")) json["pre"] = *pre;
    json["tokens"] = array != nullptr ? (*array)->size() : 0;
    return json;
}

Json tensor_json(const core::TensorInfo& tensor) {
    Json json = {{"name", tensor.name},
                 {"type", core::traits(tensor.type).name},
                 {"shape", tensor.shape},
                 {"bytes", tensor.bytes()}};
    if (tensor.scale_groups != 0) json["scale_groups"] = tensor.scale_groups;
    return json;
}

Json describe(const core::WeightFile& file, const Findings& findings, bool tensors) {
    const Summary summary = summarize(file);
    Json json = {{"path", file.path()},
                 {"format", file.format()},
                 {"bytes", file.file_bytes()},
                 {"architecture", architecture(file)},
                 {"name", file.meta_string("general.name").value_or("")},
                 {"family", findings.family},
                 {"runs", !findings.family.empty()},
                 {"problem", findings.problem},
                 {"memory_bytes", findings.memory},
                 {"parameters", summary.parameters},
                 {"active_parameters", summary.active},
                 {"tokenizer", tokenizer_json(file)},
                 {"chat_template", file.find_meta("tokenizer.chat_template") != nullptr}};
    Json types = Json::array();
    for (const auto& [name, use] : summary.types) {
        types.push_back({{"type", name},
                         {"tensors", use.tensors},
                         {"parameters", use.elements},
                         {"bytes", use.bytes}});
    }
    json["types"] = std::move(types);
    Json metadata = Json::object();
    for (const auto& [key, meta] : file.metadata())
        metadata[key] = std::visit(ToJson{}, meta.value);
    json["metadata"] = std::move(metadata);
    json["tensor_count"] = file.tensors().size();
    if (!tensors) return json;
    Json list = Json::array();
    for (const core::TensorInfo& tensor : file.tensors())
        list.push_back(tensor_json(tensor));
    json["tensors"] = std::move(list);
    return json;
}

void print_line(std::ostream& out, std::string_view name, const std::string& value) {
    constexpr size_t kColumn = 15;
    out << name << std::string(name.size() < kColumn ? kColumn - name.size() : 1, ' ') << value
        << '\n';
}

struct ToText {
    std::string operator()(const std::string& text) const { return shorten(inline_text(text), 60); }
    std::string operator()(const std::shared_ptr<const core::MetaArray>& array) const {
        return "array of " + std::to_string(array->size());
    }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(double value) const {
        char text[32];
        std::snprintf(text, sizeof text, "%.9g", value);
        return text;
    }
    std::string operator()(uint64_t value) const { return std::to_string(value); }
    std::string operator()(int64_t value) const { return std::to_string(value); }
};

void print_hyperparameters(const core::WeightFile& file, std::ostream& out) {
    const std::string prefix = architecture(file) + ".";
    size_t width = 0;
    std::vector<std::pair<std::string, std::string>> lines;
    for (const auto& [key, meta] : file.metadata()) {
        if (!key.starts_with(prefix)) continue;
        lines.emplace_back(inline_text(std::string_view(key).substr(prefix.size())),
                           std::visit(ToText{}, meta.value));
        width = std::max(width, lines.back().first.size());
    }
    if (lines.empty()) return;
    out << "\nhyperparameters\n";
    for (const auto& [key, value] : lines)
        out << "  " << key << std::string(width - key.size() + 2, ' ') << value << '\n';
}

void print_tokenizer(const core::WeightFile& file, const Findings& findings, std::ostream& out) {
    const Json tokenizer = tokenizer_json(file);
    if (tokenizer.is_null() && findings.vocabulary.empty()) {
        print_line(out, "tokenizer", "none");
    } else if (tokenizer.is_null()) {
        print_line(out, "tokenizer",
                   findings.vocabulary + ", " + std::to_string(findings.tokens) +
                       " tokens, beside the weights");
    } else {
        std::string text = inline_text(tokenizer["model"].get<std::string>());
        if (tokenizer.contains("pre"))
            text += " " + inline_text(tokenizer["pre"].get<std::string>());
        print_line(out, "tokenizer",
                   text + ", " + std::to_string(tokenizer["tokens"].get<uint64_t>()) + " tokens");
    }
    const auto chat_template = file.meta_string("tokenizer.chat_template");
    print_line(out, "chat template",
               chat_template ? bytes_text(chat_template->size()) : std::string("none"));
}

void print_types(const Summary& summary, std::ostream& out) {
    if (summary.types.empty()) return;
    out << "\ntensors by type\n";
    for (const auto& [name, use] : summary.types) {
        char text[64];
        std::snprintf(text, sizeof text, "  %-8s %6llu %s  ", std::string(name).c_str(),
                      static_cast<unsigned long long>(use.tensors),
                      use.tensors == 1 ? "tensor" : "tensors");
        const double bits =
            8.0 * static_cast<double>(use.bytes) / static_cast<double>(use.elements);
        out << text << count_text(use.elements) << " parameters, " << bytes_text(use.bytes) << ", "
            << fixed(bits, "bits each") << '\n';
    }
}

void print_tensors(const core::WeightFile& file, std::ostream& out) {
    size_t width = 0;
    for (const core::TensorInfo& tensor : file.tensors())
        width = std::max(width, core::display_width(inline_text(tensor.name)));
    out << "\ntensors (contiguous dimension first)\n";
    for (const core::TensorInfo& tensor : file.tensors()) {
        const std::string name = inline_text(tensor.name);
        const std::string type(core::traits(tensor.type).name);
        out << "  " << name << std::string(width - core::display_width(name) + 2, ' ') << type
            << std::string(type.size() < 8 ? 8 - type.size() : 1, ' ') << shape_text(tensor.shape);
        if (tensor.scale_groups != 0) out << ", " << tensor.scale_groups << " scales a row";
        out << ", " << bytes_text(tensor.bytes()) << '\n';
    }
}

// Whether it runs, and what it needs.
void print_findings(const Findings& findings, const Summary& summary, std::ostream& out) {
    if (findings.memory != 0) {
        const double bits = 8.0 * static_cast<double>(findings.memory) /
                            static_cast<double>(std::max<uint64_t>(summary.parameters, 1));
        print_line(out, "memory",
                   bytes_text(findings.memory) + " of weights, " + fixed(bits, "bits each"));
    }
    std::string runs = findings.family.empty() ? "no" : "as " + inline_text(findings.family);
    if (!findings.problem.empty()) runs += ": " + inline_text(findings.problem);
    print_line(out, "runs", runs);
}

void print(const core::WeightFile& file, const Findings& findings, bool tensors,
           std::ostream& out) {
    const Summary summary = summarize(file);
    const auto or_none = [](const std::string& text) {
        return text.empty() ? std::string("not given") : shorten(inline_text(text), 60);
    };
    print_line(out, "file", inline_text(file.path()));
    print_line(out, "format", std::string(file.format()) + ", " + bytes_text(file.file_bytes()));
    print_line(out, "architecture", or_none(architecture(file)));
    print_line(out, "name", or_none(file.meta_string("general.name").value_or("")));
    std::string parameters = count_text(summary.parameters);
    if (summary.active != summary.parameters)
        parameters += ", " + count_text(summary.active) + " active per token";
    print_line(out, "parameters", file.tensors().empty() ? "none, vocabulary only" : parameters);
    print_tokenizer(file, findings, out);
    print_findings(findings, summary, out);
    print_hyperparameters(file, out);
    print_types(summary, out);
    if (tensors && !file.tensors().empty()) print_tensors(file, out);
}

}  // namespace

namespace {

// The first of these that opens. When none does, why it is no model.
std::unique_ptr<core::WeightFile> open_any(const std::string& path) {
    constexpr std::unique_ptr<core::WeightFile> (*kOthers[])(const std::string&) = {
        core::open_weight_file,  // a model whose names are not known is described in its own
        core::open_vocabulary,
    };
    try {
        return core::open_model(path);
    } catch (const core::Error&) {
        for (const auto open : kOthers) {
            try {
                return open(path);
            } catch (const std::exception&) {
                continue;
            }
        }
        throw;
    }
}

}  // namespace

int run_inspect(const InspectOptions& options, std::ostream& out) {
    const auto file = open_any(options.path);
    const Findings findings = examine(*file);
    if (options.json) {
        // ASCII only, so that no control character of a file reaches the terminal unescaped.
        out << describe(*file, findings, options.tensors)
                   .dump(2, ' ', true, Json::error_handler_t::replace)
            << '\n';
    } else {
        print(*file, findings, options.tensors, out);
    }
    return 0;
}

}  // namespace app
