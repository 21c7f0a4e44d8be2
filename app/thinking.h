// Tells the reasoning in front of an answer (<think> ... </think>) from the answer, as it comes.
#pragma once

#include <string>
#include <string_view>

namespace app {

class ThinkingFilter {
  public:
    struct Piece {
        std::string said;
        std::string thought;
    };
    // What is certain with this text. A tag may come in pieces; reasoning is only what stands at
    // the very beginning.
    Piece take(std::string_view text);
    // What was held back, at the end.
    Piece rest();

  private:
    enum class State { beginning, thinking, behind, answer };
    Piece advance(bool last);
    State state_ = State::beginning;
    std::string held_;
};

}  // namespace app
