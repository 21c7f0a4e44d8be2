#include "app/subcommands/models_cmd.h"

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/models/model_list.h"
#include "app/models/model_scan.h"
#include "core/base/cpu.h"
#include "core/base/error.h"
#include "core/base/paths.h"

namespace app {
namespace {

using Json = nlohmann::ordered_json;

chat::KvTypeChoice kv_choice(const Config& config) {
    const std::string& name = config.text("model.kv_type");
    return name == "f32"  ? chat::KvTypeChoice::f32
           : name == "q8" ? chat::KvTypeChoice::q8
                          : chat::KvTypeChoice::f16;
}

Json to_json(const ModelHeader& model, uint32_t context, chat::KvTypeChoice kv,
             uint64_t available) {
    Json json = {{"name", model.name},
                 {"path", model.path},
                 {"place", model.place},
                 {"title", model.title},
                 {"architecture", model.architecture},
                 {"parameters", model.parameters},
                 {"active_parameters", model.active},
                 {"quantization", model.quantization},
                 {"weight_bytes", model.weight_bytes},
                 {"context", model.context}};
    if (model.problem.empty()) {
        const uint32_t wanted = context == 0 ? usual_context(model) : context;
        const uint64_t need = memory_need(model, wanted, kv).total();
        json["needed_bytes"] = need;
        json["fits"] = need <= available;
    } else {
        json["problem"] = model.problem;
    }
    return json;
}

}  // namespace

// Without a screen there is nothing to do but to wait for the whole of it.
int run_models(const ModelsOptions& options, std::ostream& out) {
    const ModelScan scan(model_places(options.config, environment_variable), model_index_file());
    while (!scan.wait(std::chrono::seconds(1)))
        continue;
    const std::vector<ModelHeader> models = scan.models();
    const uint64_t available = core::available_memory();
    const auto context = options.config.is_set("model.ctx")
                             ? static_cast<uint32_t>(options.config.integer("model.ctx"))
                             : 0;
    const chat::KvTypeChoice kv = kv_choice(options.config);
    if (options.json) {
        Json list = Json::array();
        for (const ModelHeader& model : models)
            list.push_back(to_json(model, context, kv, available));
        out << list.dump(2, ' ', true, Json::error_handler_t::replace) << '\n';
        return 0;
    }
    for (const std::string& row : model_rows(models, context, kv, available))
        out << row << '\n';
    if (models.empty())
        out << "No models found. models.dirs in config.toml or --models-dir names folders; moxie "
               "-m FILE opens a file.\n";
    return 0;
}

}  // namespace app
