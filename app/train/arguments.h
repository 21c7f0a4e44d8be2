// The command lines of moxie-train and moxie-prepare: a subcommand followed by `--name value`
// pairs.
#pragma once

#include <cstdint>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace train {

class Arguments {
  public:
    // REQUIRES: `words` without program name and subcommand. Throws std::runtime_error when an
    // option has no value.
    explicit Arguments(const std::vector<std::string>& words) {
        for (size_t i = 0; i < words.size(); i += 2) {
            if (words[i].rfind("--", 0) != 0 || i + 1 == words.size()) {
                throw std::runtime_error(words[i] + ": expected `--name value`");
            }
            values_[words[i].substr(2)] = words[i + 1];
        }
    }

    std::string text(const std::string& name, const std::string& fallback) {
        used_.insert(name);
        const auto found = values_.find(name);
        return found == values_.end() ? fallback : found->second;
    }

    std::string required(const std::string& name) {
        auto value = text(name, "");
        if (value.empty()) throw std::runtime_error("--" + name + ": is missing");
        return value;
    }

    double number(const std::string& name, double fallback) {
        const auto value = text(name, "");
        if (value.empty()) return fallback;
        size_t used = 0;
        double result = 0;
        try {
            result = std::stod(value, &used);
        } catch (const std::logic_error&) {
            used = 0;
        }
        if (used != value.size()) {
            throw std::runtime_error("--" + name + ": is `" + value + "`, must be a number");
        }
        return result;
    }

    // A count: whole and not negative.
    uint32_t count(const std::string& name, uint32_t fallback) {
        const double value = number(name, fallback);
        if (value < 0 || value > 4294967295.0 || value != static_cast<uint32_t>(value)) {
            throw std::runtime_error("--" + name + ": is " + std::to_string(value) +
                                     ", must be a whole number from 0");
        }
        return static_cast<uint32_t>(value);
    }

    // Throws for options that no one asked for, which are misspelt ones. Call it after reading all.
    void reject_unused() const {
        for (const auto& [name, value] : values_) {
            if (used_.count(name) == 0)
                throw std::runtime_error("--" + name + ": is not an option here");
        }
    }

  private:
    std::map<std::string, std::string> values_;
    std::set<std::string> used_;
};

// A subcommand: its name and what runs it, returning the exit status.
struct Subcommand {
    const char* name;
    int (*run)(Arguments arguments);
};

// The main function of a program with subcommands: its exit status, 2 for a wrong command line.
inline int run_program(int argc, char** argv, const char* name, const char* usage,
                       std::initializer_list<Subcommand> subcommands) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    try {
        for (const Subcommand& subcommand : subcommands)
            if (!words.empty() && words.front() == subcommand.name)
                return subcommand.run(Arguments({words.begin() + 1, words.end()}));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return 1;
    }
    std::fprintf(stderr, "usage: %s %s\n", name, usage);
    return 2;
}

}  // namespace train
