// The one exception type of moxie and the check for broken invariants.
//
// Error is thrown by what meets the outside world (files, formats, config, sockets, allocation of a
// cache) and caught in four places: main, the engine loop, command dispatch, the HTTP handler.
// Nothing under Pool::run, in kernels, ops, forward, queues or draw throws; there, MOXIE_CHECK.
#pragma once

#include <exception>
#include <string>

namespace core {

// What kind of trouble it is. The value is the exit status of a command that ends with it.
enum class ErrorKind : int {
    internal = 1,
    usage = 2,
    config = 3,
    model_not_found = 4,
    model_unusable = 5,  // unsupported architecture, damaged or foreign file
    memory = 6,
    context = 7,  // the prompt does not fit the context
    backend = 8,
    storage = 9,
    terminal = 10,
};

// A failure that a user can understand: `object: problem, advice`.
// All three are lower case, without a full stop; `advice` may be empty.
class Error : public std::exception {
  public:
    Error(ErrorKind kind, std::string object, std::string problem, std::string advice = {});

    ErrorKind kind() const { return kind_; }
    const std::string& object() const { return object_; }
    const std::string& problem() const { return problem_; }
    const std::string& advice() const { return advice_; }

    // `object: problem, advice`, for stderr and logs.
    const char* what() const noexcept override { return text_.c_str(); }

    // The same as a sentence for the chat: capital letter, full stop.
    std::string sentence() const;

  private:
    ErrorKind kind_;
    std::string object_;
    std::string problem_;
    std::string advice_;
    std::string text_;
};

// Called before the process aborts on a broken invariant; the terminal registers its restoration.
// The function must be async-signal-safe. Null removes it.
void set_abort_hook(void (*hook)() noexcept);

// Runs the abort hook, says where on stderr, aborts. For MOXIE_CHECK.
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace core

// An invariant of ours that must hold in every build. Never for anything a user or a file can
// cause.
#define MOXIE_CHECK(condition)                                    \
    do {                                                          \
        if (!(condition)) [[unlikely]]                            \
            ::core::check_failed(#condition, __FILE__, __LINE__); \
    } while (false)
