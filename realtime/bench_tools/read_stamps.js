// Reads the stamps of `stamp.py` in every picture that the viewer page shows. It runs before the page's own scripts.
// stampReader.readings: [shown ms, received ms, code or -1, pictures presented so far, ms that reading took].

globalThis.stampReader = { start({ bits, columns, rows, cell, contrast }) {
  const CELL_PX = 4;
  const canvas = new OffscreenCanvas(columns * CELL_PX, rows * CELL_PX);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const readings = globalThis.stampReader.readings = [];

  function level(data, number) {
    const x = (number % columns) * CELL_PX + CELL_PX / 2;
    const y = Math.floor(number / columns) * CELL_PX + CELL_PX / 2;
    return data[4 * (y * canvas.width + x) + 1];
  }

  function read(video) {
    const side = video.videoHeight * cell;
    context.drawImage(video, 0, 0, columns * side, rows * side, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let code = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      const difference = level(data, 2 * bit) - level(data, 2 * bit + 1);
      if (Math.abs(difference) < contrast) return -1;
      if (difference > 0) code += 2 ** bit;
    }
    return code;
  }

  addEventListener("DOMContentLoaded", () => {
    const video = document.getElementById("person");
    const look = (_, about) => {
      video.requestVideoFrameCallback(look);
      const begun = performance.now();
      const code = read(video);
      // What is drawn may be newer than what `about` says is about to be shown: the later time is the safe one.
      const shown = Math.max(begun, about.expectedDisplayTime);
      readings.push([shown, about.receiveTime ?? 0, code, about.presentedFrames, performance.now() - begun]);
    };
    video.requestVideoFrameCallback(look);
  });
} };
