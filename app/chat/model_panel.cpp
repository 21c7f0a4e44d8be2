// F3: the models of this machine, and which of them fit.
#include <string>
#include <utility>
#include <vector>

#include "app/chat/chat_app.h"
#include "app/chat/panel.h"

namespace app {
namespace {

class ModelPanel : public Panel {
  public:
    ModelPanel() : Panel("models") {
        list().set_hint("Enter load  / filter  u unload  q");
        list().set_empty("no models found; models.dirs in config.toml names folders");
    }

    std::string_view name() const override { return "models"; }

    std::vector<PanelKey> keys() const override { return {{"u", "unload"}}; }

    void refresh(const ChatApp& app) override {
        const bool searching = app.models().searching();
        list().set_title(searching ? "models (still looking)" : "models");
        paths_.clear();
        for (const ModelHeader& model : app.models().models())
            paths_.push_back(model.path);
        std::vector<ui::PanelRow> rows = app.models().rows(app.settings().load_settings({}));
        for (ui::PanelRow& row : rows)
            row.marked =
                app.session().model() && paths_[row.key - 1] == app.session().loaded_path();
        list().set_rows(std::move(rows));
    }

  protected:
    bool choose(ChatApp& app) override {
        const ui::PanelRow* row = list().current();
        if (row == nullptr || row->key == 0 || row->key > paths_.size()) return true;
        if (app.session().busy()) {
            app.toast("not while something runs; stop it first (C-c)", app.now());
            return true;
        }
        app.load_model(paths_[row->key - 1]);
        return false;
    }

    bool act(ChatApp& app, std::string_view /*key*/) override {
        app.report(app.session().unload());
        return false;
    }

  private:
    std::vector<std::string> paths_;  // of the rows, by key - 1
};

}  // namespace

std::unique_ptr<Panel> model_panel() {
    return std::make_unique<ModelPanel>();
}

}  // namespace app
