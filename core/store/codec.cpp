#include "core/store/codec.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <variant>

#include <nlohmann/json.hpp>

namespace core {
namespace {

using chat::Sampling;

struct Field {
    using Member = std::variant<float Sampling::*, int32_t Sampling::*, uint64_t Sampling::*,
                                bool Sampling::*>;
    std::string_view key;
    Member member;
};

// The names that /set has, which are part of the format of the database.
const std::array kFields{
    Field{"temperature", &Sampling::temperature},
    Field{"top_k", &Sampling::top_k},
    Field{"top_p", &Sampling::top_p},
    Field{"min_p", &Sampling::min_p},
    Field{"repetition_penalty", &Sampling::repetition_penalty},
    Field{"repetition_window", &Sampling::repetition_window},
    Field{"frequency_penalty", &Sampling::frequency_penalty},
    Field{"presence_penalty", &Sampling::presence_penalty},
    Field{"seed", &Sampling::seed},
    Field{"grok1_order", &Sampling::grok1_order},
};
constexpr std::string_view kBias = "logit_bias";

// The shortest text that reads back as the same number.
template <class Number>
std::string text_of(Number number) {
    std::array<char, 32> buffer = {};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number).ptr;
    return {buffer.data(), end};
}

template <class Number>
bool read(std::string_view text, Number& number) {
    Number value{};
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec != std::errc{} || result.ptr != end) return false;
    number = value;
    return true;
}

// "5:-1.5,9:-inf"
std::string bias_text(const Sampling& sampling) {
    std::string text;
    for (const auto& [id, bias] : sampling.logit_bias)
        text += (text.empty() ? "" : ",") + text_of(id) + ":" + text_of(bias);
    return text;
}

void read_bias(Sampling& sampling, std::string_view text) {
    std::vector<std::pair<TokenId, float>> biases;
    while (!text.empty()) {
        const size_t end = std::min(text.find(','), text.size());
        const std::string_view item = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const size_t colon = item.find(':');
        std::pair<TokenId, float> bias;
        if (colon == std::string_view::npos || !read(item.substr(0, colon), bias.first) ||
            !read(item.substr(colon + 1), bias.second))
            return;
        biases.push_back(bias);
    }
    sampling.logit_bias = std::move(biases);
}

template <class Value, size_t N>
using Names = std::array<std::pair<Value, std::string_view>, N>;

constexpr Names<chat::Role, 3> kRoles{{{chat::Role::system, "system"},
                                       {chat::Role::user, "user"},
                                       {chat::Role::assistant, "assistant"}}};
constexpr Names<chat::TurnState, 5> kStates{{{chat::TurnState::streaming, "streaming"},
                                             {chat::TurnState::done, "done"},
                                             {chat::TurnState::interrupted, "interrupted"},
                                             {chat::TurnState::error, "error"},
                                             {chat::TurnState::edited, "edited"}}};
constexpr Names<chat::FinishReason, 4> kReasons{{{chat::FinishReason::stop, "stop"},
                                                 {chat::FinishReason::length, "length"},
                                                 {chat::FinishReason::context_full, "context_full"},
                                                 {chat::FinishReason::cancelled, "cancelled"}}};

template <class Value, size_t N>
std::string_view name_in(const Names<Value, N>& names, Value value) {
    for (const auto& [each, name] : names)
        if (each == value) return name;
    return names.front().second;
}

template <class Value, size_t N>
Value value_in(const Names<Value, N>& names, std::string_view name, Value otherwise) {
    for (const auto& [value, each] : names)
        if (each == name) return value;
    return otherwise;
}

}  // namespace

std::map<std::string, std::string> sampling_texts(const Sampling& sampling) {
    std::map<std::string, std::string> texts;
    for (const Field& field : kFields)
        texts[std::string(field.key)] = std::visit(
            [&sampling](auto member) -> std::string {
                if constexpr (std::is_same_v<decltype(member), bool Sampling::*>)
                    return sampling.*member ? "true" : "false";
                else
                    return text_of(sampling.*member);
            },
            field.member);
    texts[std::string(kBias)] = bias_text(sampling);
    return texts;
}

void set_sampling(Sampling& sampling, std::string_view key, std::string_view text) {
    if (key == kBias) return read_bias(sampling, text);
    for (const Field& field : kFields) {
        if (field.key != key) continue;
        std::visit(
            [&](auto member) {
                if constexpr (std::is_same_v<decltype(member), bool Sampling::*>)
                    sampling.*member = text == "true";
                else
                    read(text, sampling.*member);
            },
            field.member);
    }
}

std::string params_json(const Sampling& sampling, const std::map<std::string, std::string>& more) {
    std::map<std::string, std::string> all = sampling_texts(sampling);
    all.insert(more.begin(), more.end());
    return nlohmann::json(all).dump();
}

std::map<std::string, std::string> read_params_json(std::string_view json) {
    std::map<std::string, std::string> params;
    const auto object = nlohmann::json::parse(json, nullptr, false);
    if (!object.is_object()) return params;
    for (const auto& [key, value] : object.items())
        if (value.is_string()) params[key] = value.get<std::string>();
    return params;
}

Sampling sampling_of(const std::map<std::string, std::string>& params) {
    Sampling sampling;
    for (const auto& [key, text] : params)
        set_sampling(sampling, key, text);
    return sampling;
}

std::string texts_json(const std::vector<std::string>& texts) {
    return nlohmann::json(texts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> texts_of(std::string_view json) {
    std::vector<std::string> texts;
    for (const auto& text : nlohmann::json::parse(json, nullptr, false))
        if (text.is_string()) texts.push_back(text.get<std::string>());
    return texts;
}

std::string file_json(const chat::Attachment& file) {
    return nlohmann::json{
        {"path", file.path}, {"first", file.first}, {"last", file.last}, {"code", file.code}}
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

chat::Attachment file_of(std::string_view json) {
    chat::Attachment file;
    const auto object = nlohmann::json::parse(json, nullptr, false);
    if (!object.is_object()) return file;
    try {
        file.path = object.value("path", file.path);
        file.first = object.value("first", file.first);
        file.last = object.value("last", file.last);
        file.code = object.value("code", file.code);
        return file;
    } catch (const nlohmann::json::exception&) {
        return {.path = std::move(file.path)};  // another build's; the text is what counts
    }
}

std::vector<std::byte> encode_u32(std::span<const uint32_t> values) {
    std::vector<std::byte> bytes;
    bytes.reserve(values.size() * 4);
    for (const uint32_t value : values)
        for (unsigned shift = 0; shift < 32; shift += 8)
            bytes.push_back(static_cast<std::byte>(value >> shift));
    return bytes;
}

std::vector<uint32_t> decode_u32(std::span<const std::byte> bytes) {
    std::vector<uint32_t> values(bytes.size() / 4, 0);
    for (size_t i = 0; i < values.size(); ++i)
        for (size_t byte = 0; byte < 4; ++byte)
            values[i] |= static_cast<uint32_t>(bytes[i * 4 + byte]) << (8 * byte);
    return values;
}

std::string_view name_of(chat::Role role) {
    return name_in(kRoles, role);
}

std::string_view name_of(chat::TurnState state) {
    return name_in(kStates, state);
}

std::string_view name_of(chat::FinishReason reason) {
    return name_in(kReasons, reason);
}

chat::Role role_named(std::string_view name) {
    return value_in(kRoles, name, chat::Role::user);
}

chat::TurnState state_named(std::string_view name) {
    return value_in(kStates, name, chat::TurnState::done);
}

chat::FinishReason reason_named(std::string_view name) {
    return value_in(kReasons, name, chat::FinishReason::stop);
}

}  // namespace core
