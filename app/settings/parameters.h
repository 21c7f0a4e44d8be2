// The sampling parameters by name: parsing, ranges, printing, and how two sets differ.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/chat/protocol.h"

namespace app {

struct Parameter {
    using Field = std::variant<float chat::Sampling::*, int32_t chat::Sampling::*,
                               uint64_t chat::Sampling::*, bool chat::Sampling::*>;

    std::string_view name;
    std::string_view short_name;  // in the status row and in marks
    Field field;
    double minimum = 0;
    double maximum = 0;
    std::string_view help;
};

std::span<const Parameter> parameters();

// The parameter of that name. Throws core::Error(usage) with the nearest name otherwise.
const Parameter& parameter_named(std::string_view name);

// Sets a parameter from text; "+=0.1" and "-=0.1" change it. Throws core::Error(usage) with the
// range when the value does not make sense.
void set_parameter(chat::Sampling& sampling, const Parameter& parameter, std::string_view text);

std::string value_of(const chat::Sampling& sampling, const Parameter& parameter);

// "+2", "-0.5", "ban"; and "#12 +2, #99 ban" for all of a set.
std::string bias_value_text(float bias);
std::string bias_text(const chat::Sampling& sampling);

// "T.70 p.9" for what `now` has different from `base`; seeds do not count.
std::string differences(const chat::Sampling& base, const chat::Sampling& now);
// "T 0.8→1.1" for a change.
std::string change_label(const chat::Sampling& before, const chat::Sampling& after);

}  // namespace app
