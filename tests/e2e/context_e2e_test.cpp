// A context window that is full, and the models of a machine, in a real terminal.
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"

namespace {

// A window of 64 words, of which half are kept for the answer; an exchange has thirteen.
constexpr const char* kSmallWindow = R"([model]
context = 64
[[reply]]
match = "Sum up"
text = "Numbers were counted."
[[reply]]
text = "five words for an answer")";

class ContextInTmux : public e2e::ProgramInTmux {
  protected:
    void exchange(const std::string& name) {
        say(name + " has eight words in this prompt indeed");
        see("you ▸ " + name);
        see("idle");
    }
    void start_full() {
        // A model with a path can be loaded anew; the script needs no more than its name.
        start(scripted(kSmallWindow, "-m " + write("model.gguf", "")), 100, 40);
        see("idle");
        exchange("first");
        exchange("second");
    }
    void ask_too_much() {
        say("third has eight words in this prompt indeed");
        see("does not fit: 34 of 32");
    }
};

TEST_F(ContextInTmux, CancellingKeepsTheMessageAndALargerWindowAnswersIt) {
    start_full();
    ask_too_much();
    see("leave out the oldest");
    see("enlarge the context to 128");
    terminal->keys({"5"});
    see("The message was not answered");
    terminal->keys({"C-x", "r"});
    see("does not fit");
    terminal->keys({"3"});
    see("/128");
    see("you ▸ third");
    see("ctx 39/128");
    quit();
}

TEST_F(ContextInTmux, AForkGoesOnWithoutTheOldestAndLeavingOutDrawsTheDivider) {
    start_full();
    ask_too_much();
    terminal->keys({"4"});
    see("goes back to it");
    see("outside the context window");
    see("idle");
    terminal->keys({"C-x", "s"});
    see("conversations");
    terminal->keys({"j", "Enter"});
    see_no("(fork)");
    see("idle");
    terminal->keys({"C-x", "r"});
    see("does not fit");
    terminal->keys({"1"});
    see("Context shifted: ");
    see("outside the context window");
    see("shifted −");
    quit();
}

TEST_F(ContextInTmux, SummingUpPutsTheSummaryInTheirPlace) {
    start_full();
    ask_too_much();
    terminal->keys({"2"});
    see("Numbers were counted.");
    see("outside the context window");
    say("/system show");
    see("Summary of what was said before:");
    quit();
}

TEST_F(ContextInTmux, ThePolicyShiftLeavesTurnsOutAndSaysSo) {
    write("CONFIG/moxie/config.toml", "[context]\npolicy = \"shift\"\n");
    start_full();
    say("third has eight words in this prompt indeed");
    see("Context shifted: ");
    see("shifted −");
    quit();
}

}  // namespace
