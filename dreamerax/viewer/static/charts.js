// Drawing into the canvas within an element.

export const SHOWN = 200; // steps across a chart
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 2 });
const LINE = 12; // pixels between labels
const FONT = "11px system-ui, sans-serif";

/** Empty, in CSS pixels however fine the screen is; colours are those of page.css. */
function canvas(parent) {
  const painted = parent.querySelector("canvas");
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [painted.clientWidth, painted.clientHeight];
  painted.width = width * scale;
  painted.height = height * scale;
  const context = painted.getContext("2d");
  context.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  return { context, width, height, color: (name) => style.getPropertyValue(`--${name}`) };
}

/** A line from the left as far as there are values. name: of its colour. top: what the axis ends at; null fits it. */
export function plot(parent, name, values, top) {
  const { context, width, height, color } = canvas(parent);
  const low = Math.min(0, ...values);
  const high = top ?? Math.max(low + 0.1, ...values);
  const left = 34;
  const x = (i) => left + ((width - left - 3) * i) / SHOWN;
  const y = (value) => 8 + (height - 16) * ((high - value) / (high - low));
  context.font = FONT;
  context.textAlign = "right";
  context.textBaseline = "middle";
  const ticks = [0, high, low].filter((tick, i, all) => all.slice(0, i).every((other) => Math.abs(y(tick) - y(other)) > LINE));
  for (const tick of ticks) {
    context.fillStyle = color("soft");
    context.fillText(SHORT.format(tick), left - 5, y(tick));
    context.fillStyle = color("edge");
    context.fillRect(left, Math.round(y(tick)), width - left, 1);
  }
  context.strokeStyle = context.fillStyle = color(name);
  context.lineWidth = 1.7;
  context.lineJoin = "round";
  context.beginPath();
  values.forEach((value, i) => context.lineTo(x(i), y(value)));
  context.stroke();
  context.beginPath();
  context.arc(x(values.length - 1), y(values.at(-1)), 3, 0, 2 * Math.PI);
  context.fill();
}

/** A bar for each number, up or down from the middle. */
export function bars(parent, vector) {
  const { context, width, height, color } = canvas(parent);
  const most = Math.max(1, ...vector.map(Math.abs));
  const wide = width / vector.length;
  context.fillStyle = color("edge");
  context.fillRect(0, height / 2, width, 1);
  context.fillStyle = color("value");
  vector.forEach((x, i) => {
    const tall = (Math.abs(x) / most) * (height / 2 - 14);
    context.fillRect((i + 0.15) * wide, x > 0 ? height / 2 - tall : height / 2, wide * 0.7, tall);
  });
  if (wide < 40) return; // no room for figures
  context.fillStyle = color("soft");
  context.textAlign = "center";
  context.font = FONT;
  vector.forEach((x, i) => context.fillText(x.toFixed(2), (i + 0.5) * wide, height - 2));
}
