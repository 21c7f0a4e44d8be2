// moxie-prepare: the text side of training, from JSON Lines on standard input to a vocabulary and
// token files. A program of its own because libsentencepiece and LibTorch each bring a protobuf
// runtime, and the two cannot share a process.
#include <cstdio>
#include <fstream>
#include <iostream>

#include "app/train/arguments.h"
#include "app/train/corpus.h"
#include "app/train/prepare.h"

namespace train {
namespace {

int run_vocab(Arguments arguments) {
    VocabularyOptions options;
    options.model_prefix = arguments.required("out");
    options.size = arguments.count("size", options.size);
    options.sample_every = arguments.count("sample-every", options.sample_every);
    arguments.reject_unused();
    train_vocabulary(std::cin, options);
    return 0;
}

int run_prepare(Arguments arguments) {
    PrepareOptions options;
    options.vocabulary = arguments.required("vocab");
    const auto mixture = arguments.required("mixture");
    std::ifstream file(mixture);
    if (!file) throw std::runtime_error(mixture + ": cannot be opened");
    options.rules = read_mixture(file, mixture);
    options.source_prefix = arguments.text("only", "");
    options.system_share = arguments.number("system-share", options.system_share);
    options.seed = arguments.count("seed", 1);
    const auto out = arguments.required("out");
    arguments.reject_unused();

    std::map<std::string, SourceCount> counts;
    write_tokens(out, prepare_tokens(std::cin, options, counts));
    SourceCount total;
    for (const auto& [source, count] : counts) {
        std::printf("%-20s %8llu records %10llu tokens %11llu bytes\n", source.c_str(),
                    static_cast<unsigned long long>(count.records),
                    static_cast<unsigned long long>(count.tokens),
                    static_cast<unsigned long long>(count.bytes));
        total.records += count.records;
        total.tokens += count.tokens;
        total.bytes += count.bytes;
    }
    std::printf("%-20s %8llu records %10llu tokens %11llu bytes\n", "total",
                static_cast<unsigned long long>(total.records),
                static_cast<unsigned long long>(total.tokens),
                static_cast<unsigned long long>(total.bytes));
    return 0;
}

}  // namespace
}  // namespace train

int main(int argc, char** argv) {
    return train::run_program(argc, argv, "moxie-prepare",
                              "vocab|prepare --option value ... < records.jsonl",
                              {{"vocab", train::run_vocab}, {"prepare", train::run_prepare}});
}
