"""What labelled images go through before a network is judged on them, by the names that cards use."""

CONDITIONS = {"clean": "", "jpeg 75": "jpeg:75", "web": "resize:0.75,jpeg:80,jpeg:70"}
