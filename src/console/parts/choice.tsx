import { useId } from "react";

/** One of a few values, as the browser lets them be chosen. */
export function Choice({
  label,
  value,
  options,
  onChange,
}: {
  readonly label: string;
  readonly value: string;
  /** Titles by value. */
  readonly options: Readonly<Record<string, string>>;
  onChange(value: string): void;
}) {
  const id = useId();
  return (
    <div className="choice">
      {/* Around the field it would have all options as its text. */}
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={({ target }) => onChange(target.value)}>
        {Object.entries(options).map(([option, title]) => (
          <option key={option} value={option}>
            {title}
          </option>
        ))}
      </select>
    </div>
  );
}
