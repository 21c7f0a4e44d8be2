// Values of the protocol as columns: parameters as JSON or as (key, text), numbers as blobs, names
// of enumerators. Reading is lenient: what a newer build wrote and this one does not know is left
// out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat/conversation.h"

namespace core {

// In params_json of a conversation, beside the parameters.
inline constexpr std::string_view kFixedSeed = "fixed_seed";
// There too, as texts_json().
inline constexpr std::string_view kStop = "stop";
// In params_json of an answer, beside the parameters: the chat format of its prompt.
inline constexpr std::string_view kTemplate = "template";
// A finish_reason beside the names of FinishReason: the program ended within the answer.
inline constexpr std::string_view kCutOff = "cut_off";

// Every parameter by name, as text that reads back as the same value.
std::map<std::string, std::string> sampling_texts(const chat::Sampling& sampling);
// An unknown key or a text that makes no sense changes nothing.
void set_sampling(chat::Sampling& sampling, std::string_view key, std::string_view text);

// A JSON object of sampling_texts() and of `more`.
std::string params_json(const chat::Sampling& sampling,
                        const std::map<std::string, std::string>& more = {});
std::map<std::string, std::string> read_params_json(std::string_view json);
chat::Sampling sampling_of(const std::map<std::string, std::string>& params);

// Texts as one, and back.
std::string texts_json(const std::vector<std::string>& texts);
std::vector<std::string> texts_of(std::string_view json);

// All of an attachment but its text: part.meta_json.
std::string file_json(const chat::Attachment& file);
chat::Attachment file_of(std::string_view json);

// node.excluded: why a turn is not sent to the model, as bits.
inline constexpr int64_t kExcludedByUser = 1;
inline constexpr int64_t kOutsideWindow = 2;
constexpr int64_t excluded_number(const chat::TurnFlags& flags) {
    return (flags.excluded ? kExcludedByUser : 0) | (flags.outside ? kOutsideWindow : 0);
}

// Little-endian 32-bit numbers. Bytes that are left over at the end are dropped.
std::vector<std::byte> encode_u32(std::span<const uint32_t> values);
std::vector<uint32_t> decode_u32(std::span<const std::byte> bytes);

std::string_view name_of(chat::Role role);
std::string_view name_of(chat::TurnState state);
std::string_view name_of(chat::FinishReason reason);
chat::Role role_named(std::string_view name);
chat::TurnState state_named(std::string_view name);
chat::FinishReason reason_named(std::string_view name);

}  // namespace core
