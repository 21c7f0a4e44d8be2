// What of an answer goes to standard output: its text, one JSON object, or an object for every
// event (docs/oneshot.md).
#pragma once

#include <memory>
#include <string_view>

#include "app/oneshot/oneshot.h"

namespace app {

class AnswerOutput {
  public:
    virtual ~AnswerOutput() = default;

    // All of these return false when nobody reads any more. Throw core::Error(storage).
    virtual bool model(const chat::ModelReady& ready) = 0;
    virtual bool delta(const chat::Delta& delta) = 0;
    virtual bool end(const chat::Finished& finished, const SamplingChoice& choice) = 0;
    // The answer ends without Finished; what there is of it stays.
    virtual bool fail(std::string_view sentence) = 0;
};

std::unique_ptr<AnswerOutput> make_output(const OneShotOptions& options);

std::string_view reason_name(chat::FinishReason reason);

}  // namespace app
