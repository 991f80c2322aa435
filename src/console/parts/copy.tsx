import { useState } from "react";
import { Button } from "react-aria-components";

/** A text that can be copied with one click, such as a command. */
export function Copyable({ label, text }: { readonly label: string; readonly text: string }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <div className="copyable">
      <code>{text}</code>
      <Button
        aria-label={`${isCopied ? "Copied" : "Copy"} ${label}`}
        onPress={async () => {
          await navigator.clipboard.writeText(text);
          setCopied(true);
          setTimeout(setCopied, 2_000, false);
        }}
      >
        {isCopied ? "Copied" : "Copy"}
      </Button>
    </div>
  );
}
