import { useState } from "react";
import { Button } from "react-aria-components";

const themes = ["auto", "light", "dark"] as const;
type Theme = (typeof themes)[number];

const key = "downlease.theme";

function savedTheme(): Theme {
  const saved = localStorage.getItem(key);
  return themes.find((theme) => theme === saved) ?? "auto";
}

function apply(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

apply(savedTheme());

/** Switches between the system's colors, light and dark. */
export function ThemeChoice() {
  const [theme, setTheme] = useState(savedTheme);
  const next = themes[(themes.indexOf(theme) + 1) % themes.length]!;
  return (
    <Button
      aria-label={`Colors: ${theme}. Change to ${next}`}
      onPress={() => {
        localStorage.setItem(key, next);
        apply(next);
        setTheme(next);
      }}
    >
      {theme === "auto" ? "◐" : theme === "light" ? "☀" : "☾"}
    </Button>
  );
}
