#include "app/models/model_list.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

constexpr uint32_t kLeastContext = 1024;

std::string figure(const char* format, double value) {
    std::array<char, 48> text = {};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

// "314B", "7.6B", "124M"
std::string short_count(uint64_t count) {
    const auto value = static_cast<double>(count);
    if (value >= 1e10) return figure("%.0fB", value / 1e9);
    if (value >= 1e9) return figure("%.1fB", value / 1e9);
    if (value >= 1e6) return figure("%.0fM", value / 1e6);
    return figure("%.0fK", value / 1e3);
}

std::string gigabytes(uint64_t bytes) {
    return figure("%.1f GB", static_cast<double>(bytes) / 1e9);
}

void pad(std::string& text, size_t columns) {
    const size_t width = core::display_width(text);
    if (width < columns) text.append(columns - width, ' ');
}

}  // namespace

std::string parameters_text(const ModelHeader& model) {
    if (model.parameters == 0) return {};
    std::string text = short_count(model.parameters);
    if (model.active != model.parameters) text += "/" + short_count(model.active);
    return text;
}

std::string fits_text(const ModelHeader& model, uint32_t context, chat::KvTypeChoice kv,
                      uint64_t available) {
    if (!model.problem.empty()) return {};
    const uint32_t wanted = context == 0 ? usual_context(model) : context;
    const uint64_t need = memory_need(model, wanted, kv).total();
    return need <= available ? "fits" : "needs " + gigabytes(need);
}

std::vector<std::string> model_rows(const std::vector<ModelHeader>& models, uint32_t context,
                                    chat::KvTypeChoice kv, uint64_t available) {
    constexpr size_t kColumns = 7;
    using Row = std::array<std::string, kColumns>;
    std::vector<Row> rows;
    std::array<size_t, kColumns> widths = {};
    for (const ModelHeader& model : models) {
        rows.push_back(
            {model.name, model.architecture, parameters_text(model), model.quantization,
             model.weight_bytes == 0 ? "" : core::human_bytes(model.weight_bytes),
             model.problem.empty() ? fits_text(model, context, kv, available) : model.problem,
             model.place});
        for (size_t i = 0; i + 2 < kColumns; ++i)
            widths[i] = std::max(widths[i], core::display_width(rows.back()[i]));
        // Reasons are long; they do not push the places of all others away.
        if (model.problem.empty())
            widths[5] = std::max(widths[5], core::display_width(rows.back()[5]));
    }
    std::vector<std::string> lines;
    for (const Row& row : rows) {
        std::string line;
        for (size_t i = 0; i < kColumns; ++i) {
            size_t column = 0;
            for (size_t before = 0; before < i; ++before)
                column += widths[before] == 0 ? 0 : widths[before] + 2;
            pad(line, column);
            if (!line.empty() && !row[i].empty() && line.back() != ' ') line += "  ";
            line += row[i];
        }
        line.erase(line.find_last_not_of(' ') + 1);
        lines.push_back(core::sanitize(line));
    }
    return lines;
}

MemoryQuestion memory_question(const ModelHeader& model, uint32_t context, chat::KvTypeChoice kv,
                               uint64_t available) {
    const MemoryNeed need = memory_need(model, context, kv);
    MemoryQuestion question{
        .text = "Needs " + gigabytes(need.total()) + " (weights " + gigabytes(need.weights) +
                " + KV " + gigabytes(need.kv) + " @" + std::to_string(context) + " + scratch " +
                gigabytes(need.scratch) + "); " + gigabytes(available) + " available.",
        .choices = {}};
    const auto offer = [&](const std::string& what, MemoryChoice choice) {
        const uint64_t total = memory_need(model, choice.context, choice.kv).total();
        if (!choice.other_model && total > available) return;
        question.choices.push_back(choice);
        question.text += " [" + std::to_string(question.choices.size()) + "] " + what;
        if (!choice.other_model)
            question.text +=
                " (−" + figure("%.1f", static_cast<double>(need.total() - total) / 1e9) + ")";
    };
    // Half the context as often as it takes.
    const auto smaller_that_fits = [&](chat::KvTypeChoice type) {
        uint32_t smaller = context / 2;
        while (smaller > kLeastContext && memory_need(model, smaller, type).total() > available)
            smaller /= 2;
        return std::max(smaller, kLeastContext);
    };
    const uint32_t smaller = smaller_that_fits(kv);
    if (smaller < context) offer("ctx " + std::to_string(smaller), {.context = smaller, .kv = kv});
    constexpr auto kQ8 = chat::KvTypeChoice::q8;
    if (kv != kQ8) {
        offer("KV q8", {.context = context, .kv = kQ8});
        const uint32_t both = smaller_that_fits(kQ8);
        if (question.choices.empty() && both < context)
            offer("ctx " + std::to_string(both) + " and KV q8", {.context = both, .kv = kQ8});
    }
    offer("choose another", {.other_model = true});
    return question;
}

}  // namespace app
