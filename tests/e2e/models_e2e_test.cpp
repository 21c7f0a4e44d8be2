// Models that are larger than the machine, in a real terminal.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"

namespace {

namespace fs = std::filesystem;

// A GGUF header (version 3) with one tensor, and as many zeros behind it as the tensor has: a file
// with holes, which takes no room on the disk.
class LargeModel {
  public:
    explicit LargeModel(uint64_t bytes) {
        constexpr uint32_t kWidth = 32;
        text_ = "GGUF";
        put<uint32_t>(3);
        put<uint64_t>(1);  // tensors
        put<uint64_t>(8);  // keys
        name("general.architecture");
        put<uint32_t>(8);  // a string
        name("llama");
        number("block_count", 1);
        number("embedding_length", kWidth);
        number("feed_forward_length", kWidth);
        number("attention.head_count", 1);
        number("context_length", 64);
        number("vocab_size", 100);
        name("llama.attention.layer_norm_rms_epsilon");
        put<uint32_t>(6);  // a float
        put<float>(1e-5F);
        name("blk.0.ffn_up.weight");
        put<uint32_t>(2);  // dimensions
        put<uint64_t>(kWidth);
        put<uint64_t>(bytes / 4 / kWidth);
        put<uint32_t>(0);  // F32
        put<uint64_t>(0);  // its place
        text_.resize((text_.size() + 31) / 32 * 32);
        bytes_ = text_.size() + bytes;
    }

    void write(const std::string& path) const {
        std::ofstream(path, std::ios::binary) << text_;
        fs::resize_file(path, bytes_);
    }

  private:
    template <class Value>
    void put(Value value) {
        text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void name(const std::string& text) {
        put<uint64_t>(text.size());
        text_ += text;
    }
    void number(const std::string& key, uint32_t value) {
        name("llama." + key);
        put<uint32_t>(4);  // a uint32
        put<uint32_t>(value);
    }

    std::string text_;
    uint64_t bytes_ = 0;
};

class LargeModelInTmux : public e2e::ProgramInTmux {
  protected:
    static uint64_t memory() {
        return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
               static_cast<uint64_t>(::sysconf(_SC_PAGE_SIZE));
    }
};

TEST_F(LargeModelInTmux, OneThatNeedsMoreThanHalfOfTheMemoryIsNotLoadedByItself) {
    LargeModel(memory() / 4 * 3).write(home() / "large.gguf");
    write("CONFIG/moxie/config.toml",
          "[model]\ndefault = \"" + (home() / "large.gguf").string() + "\"\n");
    start(command(""), 100, 30);
    see("more than half of this machine's memory, so it is not loaded by itself.");
    see("large loads it.");
    see("no model");
    say("kept for later");
    see("queued ▸ kept for later");
}

TEST_F(LargeModelInTmux, OneThatDoesNotFitIsAskedAboutWithTheNumbers) {
    LargeModel(memory() * 2).write(home() / "huge.gguf");
    start(scripted("[[reply]]\ntext = \"hello\"\n"), 100, 30);
    see("idle");
    say("/model " + (home() / "huge.gguf").string());
    see("Needs ");
    see("(weights ");
    see("[1] choose");
    see("idle");
}

}  // namespace
