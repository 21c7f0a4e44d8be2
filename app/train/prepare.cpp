#include "app/train/prepare.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <fstream>
#include <istream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include <nlohmann/json.hpp>

#include "app/train/corpus.h"

namespace train {
namespace {

constexpr std::string_view kSeparator = "<|separator|>";

// System turns that a chat may begin with; they name the assistant so that the model learns to be
// told.
constexpr std::string_view kSystemTexts[] = {
    "You are Moxie, a small and friendly assistant.",
    "You are Moxie, a helpful assistant.",
    "You are a helpful assistant.",
    "You are Moxie. Answer in one or two short sentences.",
    "You are Moxie, a small language model that runs on the user's computer.",
    "Be brief and kind.",
};

struct Span {
    std::string text = {};
    bool light = false;      // not the assistant's own words
    bool separator = false;  // the control token instead of `text`
};

std::string trim(std::string_view text) {
    const size_t first = text.find_first_not_of(" \n\t");
    if (first == std::string_view::npos) return {};
    return std::string(text.substr(first, text.find_last_not_of(" \n\t") - first + 1));
}

// The generator of the synthetic part calls the assistant Pip.
std::string rename_assistant(std::string text) {
    const auto is_letter = [&](size_t i) {
        return i < text.size() && std::isalpha(static_cast<unsigned char>(text[i])) != 0;
    };
    for (size_t at = text.find("Pip"); at != std::string::npos; at = text.find("Pip", at + 1)) {
        if ((at == 0 || !is_letter(at - 1)) && !is_letter(at + 3)) text.replace(at, 3, "Moxie");
    }
    return text;
}

std::string record_text(const nlohmann::json& record, const nlohmann::json& text) {
    const auto raw = trim(text.get<std::string>());
    return record.at("source").get<std::string>().starts_with("synth") ? rename_assistant(raw)
                                                                       : raw;
}

std::vector<Span> render_chat(const nlohmann::json& record, std::string_view system_text) {
    std::vector<Span> spans;
    const auto turn = [&](std::string_view role, const std::string& text, bool assistant) {
        spans.push_back({.text = (spans.empty() ? " " : "") + std::string(role), .light = true});
        spans.push_back({.text = " " + text, .light = !assistant});
        spans.push_back({.light = !assistant, .separator = true});
        spans.push_back({.text = "\n\n", .light = true});
    };
    if (!system_text.empty()) turn("System:", std::string(system_text), false);
    for (const auto& entry : record.at("turns")) {
        const bool assistant = entry.at("role") == "assistant";
        turn(assistant ? "Assistant:" : "Human:", record_text(record, entry.at("text")), assistant);
    }
    return spans;
}

std::vector<Span> render_plain(const nlohmann::json& record) {
    if (record.contains("text")) return {{.text = " " + record_text(record, record["text"])}};
    std::string text;
    for (const auto& entry : record.at("turns")) {
        text += (text.empty() ? " - " : "\n- ") + record_text(record, entry.at("text"));
    }
    return {{.text = text}};
}

class Encoder {
  public:
    explicit Encoder(const std::string& path) {
        if (const auto status = processor_.Load(path); !status.ok()) {
            throw std::runtime_error(path + ": " + status.ToString());
        }
        separator_ = processor_.PieceToId(kSeparator);
        if (processor_.IsUnknown(separator_)) {
            throw std::runtime_error(path + ": has no piece <|separator|>");
        }
    }

    std::vector<uint16_t> encode(const std::vector<Span>& spans) const {
        std::vector<uint16_t> tokens;
        std::vector<int> ids;
        for (const Span& span : spans) {
            ids.assign(1, separator_);
            if (!span.separator) {
                if (const auto status = processor_.Encode(span.text, &ids); !status.ok()) {
                    throw std::runtime_error("text cannot be encoded: " + status.ToString());
                }
            }
            const uint16_t mark = span.light ? kLightToken : 0;
            for (const int id : ids)
                tokens.push_back(static_cast<uint16_t>(id | mark));
        }
        tokens.push_back(kEndOfRecord);
        return tokens;
    }

  private:
    sentencepiece::SentencePieceProcessor processor_;
    int separator_ = 0;
};

// Feeds the texts of the records to the vocabulary trainer line by line, each with its leading
// space.
class RecordLines : public sentencepiece::SentenceIterator {
  public:
    RecordLines(std::istream& records, uint32_t sample_every)
        : records_(records), sample_every_(sample_every) {
        Next();
    }

    bool done() const override { return done_; }
    const std::string& value() const override { return line_; }
    sentencepiece::util::Status status() const override { return {}; }

    void Next() override {
        while (pending_.empty()) {
            std::string json;
            if (!std::getline(records_, json)) {
                done_ = true;
                return;
            }
            if (count_++ % sample_every_ == 0) split(nlohmann::json::parse(json));
        }
        line_ = std::move(pending_.back());
        pending_.pop_back();
    }

  private:
    void split(const nlohmann::json& record) {
        const auto add = [&](const nlohmann::json& text) {
            std::istringstream lines(record_text(record, text));
            for (std::string line; std::getline(lines, line);) {
                if (!line.empty()) pending_.push_back(" " + line);
            }
        };
        if (record.contains("text")) return add(record["text"]);
        for (const auto& turn : record.at("turns"))
            add(turn.at("text"));
    }

    std::istream& records_;
    uint32_t sample_every_;
    uint64_t count_ = 0;
    std::vector<std::string> pending_;
    std::string line_;
    bool done_ = false;
};

const MixtureRule* find_rule(const std::vector<MixtureRule>& rules, const nlohmann::json& record) {
    const auto source = record.at("source").get<std::string>();
    for (const MixtureRule& rule : rules) {
        if (rule.form == RecordForm::chat && !record.contains("turns")) continue;
        if (source.starts_with(rule.source_prefix)) return &rule;
    }
    return nullptr;
}

double unit(std::mt19937_64& random) {
    return static_cast<double>(random() >> 11) * 0x1p-53;
}

}  // namespace

std::vector<MixtureRule> read_mixture(std::istream& input, const std::string& name) {
    static const std::map<std::string, RecordForm> forms = {{"chat", RecordForm::chat},
                                                            {"dialogue", RecordForm::dialogue},
                                                            {"prose", RecordForm::prose}};
    std::vector<MixtureRule> rules;
    std::string line;
    for (int number = 1; std::getline(input, line); ++number) {
        std::istringstream fields(line.substr(0, line.find('#')));
        MixtureRule rule;
        std::string form;
        if (!(fields >> rule.source_prefix)) continue;
        if (!(fields >> rule.repeats >> form) || forms.count(form) == 0 || rule.repeats < 0) {
            throw std::runtime_error(name + ":" + std::to_string(number) + ": `" + line +
                                     "` is not `<source> <repeats> chat|dialogue|prose`");
        }
        rule.form = forms.at(form);
        rules.push_back(rule);
    }
    return rules;
}

void train_vocabulary(std::istream& records, const VocabularyOptions& options) {
    RecordLines lines(records, options.sample_every);
    const std::unordered_map<std::string, std::string> settings = {
        {"model_prefix", options.model_prefix},
        {"model_type", "bpe"},
        {"vocab_size", std::to_string(options.size)},
        {"character_coverage", "1.0"},
        {"byte_fallback", "true"},
        {"split_digits", "true"},
        {"normalization_rule_name", "identity"},
        {"add_dummy_prefix", "false"},
        {"remove_extra_whitespaces", "false"},
        {"pad_id", "0"},
        {"bos_id", "1"},
        {"eos_id", "2"},
        {"unk_id", "3"},
        {"pad_piece", "[PAD]"},
        {"bos_piece", "[BOS]"},
        {"eos_piece", "[EOS]"},
        {"unk_piece", "[UNK]"},
        {"control_symbols", std::string(kSeparator)},
        // Role names are one token each: they open every turn, and only the separator gives them
        // meaning.
        {"user_defined_symbols", "\n,\n\n,Human:,Assistant:,System:"},
        {"num_threads", "2"},
        {"minloglevel", "2"},
    };
    const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &lines);
    if (!status.ok())
        throw std::runtime_error("vocabulary cannot be trained: " + status.ToString());
}

std::vector<uint16_t> prepare_tokens(std::istream& records, const PrepareOptions& options,
                                     std::map<std::string, SourceCount>& counts) {
    const Encoder encoder(options.vocabulary);
    std::mt19937_64 random(options.seed);
    std::vector<std::vector<uint16_t>> encoded;
    for (std::string line; std::getline(records, line);) {
        const auto record = nlohmann::json::parse(line);
        const auto source = record.at("source").get<std::string>();
        const MixtureRule* rule = find_rule(options.rules, record);
        const double drawn = unit(random);
        const double system_drawn = unit(random);
        if (rule == nullptr || !source.starts_with(options.source_prefix)) continue;

        const auto copies = static_cast<size_t>(rule->repeats + drawn);
        if (copies == 0) continue;
        std::string_view system_text;
        if (system_drawn < options.system_share) {
            system_text = kSystemTexts[random() % std::size(kSystemTexts)];
        }
        const auto spans = rule->form == RecordForm::chat ? render_chat(record, system_text)
                                                          : render_plain(record);
        const auto tokens = encoder.encode(spans);
        SourceCount& count = counts[source.substr(0, source.find('/'))];
        for (size_t copy = 0; copy < copies; ++copy) {
            encoded.push_back(tokens);
            count.records += 1;
            count.tokens += tokens.size();
            for (const Span& span : spans)
                count.bytes += span.text.size();
        }
    }
    for (size_t i = encoded.size(); i > 1; --i)
        std::swap(encoded[i - 1], encoded[random() % i]);
    std::vector<uint16_t> tokens;
    for (const auto& record : encoded)
        tokens.insert(tokens.end(), record.begin(), record.end());
    return tokens;
}

}  // namespace train
