// Tells the reasoning in front of an answer (<think> ... </think>) from the answer, as it comes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace app {

// Where the reasoning of an answer is in its text. What grows with the text only grows.
struct Reasoning {
    bool there = false;
    size_t begin = 0;  // without the tags and the blanks around it
    size_t end = 0;
    size_t answer = 0;  // where what is said begins; the text's end while none of it has come
};
// `complete`: no more text comes, so that what may be the beginning of a tag is none.
Reasoning reasoning_of(std::string_view text, bool complete);

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
