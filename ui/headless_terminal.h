// A terminal that keeps what it was shown. For tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ui/terminal.h"

namespace ui {

class HeadlessTerminal : public Terminal {
  public:
    explicit HeadlessTerminal(Size size) : size_(size), screen_(size) {}

    Size size() const override { return size_; }
    void measure() override { size_ = next_size_.value_or(size_); }
    void present(const Surface& surface, std::optional<Position> cursor) override;
    void repaint() override { ++repaints_; }
    void suspend() override { suspended_ = true; }
    void resume() override;
    void synchronize_updates(bool on) override { synchronized_ = on; }
    void copy(std::string_view text) override { copied_ = text; }
    void ring() override { ++rings_; }

    // The size that the next measure() or resume() finds.
    void set_next_size(Size size) { next_size_ = size; }

    const Surface& screen() const { return screen_; }
    std::vector<std::string> rows() const;
    std::optional<Position> cursor() const { return cursor_; }
    int presents() const { return presents_; }
    int repaints() const { return repaints_; }
    bool suspended() const { return suspended_; }
    const std::string& copied() const { return copied_; }
    int rings() const { return rings_; }
    bool synchronized_updates() const { return synchronized_; }

  private:
    Size size_;
    std::optional<Size> next_size_;
    Surface screen_;
    std::optional<Position> cursor_;
    int presents_ = 0;
    int repaints_ = 0;
    bool suspended_ = false;
    bool synchronized_ = false;
    std::string copied_;
    int rings_ = 0;
};

}  // namespace ui
